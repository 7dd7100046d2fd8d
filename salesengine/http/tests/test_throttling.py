"""RATE_LIMIT: who is counted as whom, what answers tell, and that it holds across processes."""

import shutil
import socket
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import httpx
import pytest
import redis
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.checks import run_checks
from rest_framework.views import APIView

from sales.models import Sale
from salesengine.accounts.api_keys import create_key
from salesengine.accounts.models import Scope
from salesengine.environment import cache_config
from salesengine.http import throttling

pytestmark = pytest.mark.django_db
MORNING = 1_800_000_000.25  # a quarter of a second into one of all windows
REDIS_SERVER = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(REDIS_SERVER is None, reason="there is no redis-server")


@pytest.fixture
def limited(settings, monkeypatch):
    """Three requests a minute, at a moment that the tests may change."""
    settings.RATE_LIMIT = (3, 60)
    monkeypatch.setattr(APIView, "throttle_classes", [throttling.SenderRateThrottle])
    monkeypatch.setattr(throttling, "_skip_cache_until", 0.0)
    monkeypatch.setattr(throttling, "time", lambda: MORNING)
    cache.clear()


@pytest.fixture
def redis_port():
    """A port with a Redis of its own behind it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [REDIS_SERVER, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
    )
    with closing(redis.Redis(port=port)) as client:
        for _ in range(100):
            with suppress(redis.ConnectionError):
                client.ping()
                break
            time.sleep(0.05)
        yield port
    process.terminate()
    process.wait(timeout=10)


def ask(api, times, **headers):
    return [api.get("/feedback", headers=headers).status_code for _ in range(times)]


def new_key(name):
    return f"Api-Key {create_key(name, [Scope.READ])}"


def test_without_a_limit_answers_say_nothing_of_one(api):
    assert APIView.throttle_classes == []
    for address in ("/feedback", "/feedback?colour=red"):
        assert not [name for name in api.get(address).headers if name.startswith("RateLimit")]


@pytest.mark.usefixtures("limited")
class TestLimit:
    def test_one_request_too_many_is_refused_with_a_time_to_try_again(self, api):
        answers = [api.get("/feedback") for _ in range(5)]

        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert answers[3]["Retry-After"] == "60"
        assert answers[3].json()["type"] == "/docs/problems#rate-limited"

    def test_every_answer_tells_the_limit_and_what_is_left(self, api):
        answers = [api.get("/feedback"), api.get("/feedback?colour=red"), api.put("/feedback"), api.get("/feedback")]

        assert [answer.status_code for answer in answers] == [200, 400, 405, 429]
        assert {answer["RateLimit-Policy"] for answer in answers} == {'"default";q=3;w=60'}
        assert [answer["RateLimit"] for answer in answers] == [f'"default";r={left};t=60' for left in (2, 1, 0, 0)]

    def test_the_next_window_begins_anew(self, api, monkeypatch):
        ask(api, 4)
        monkeypatch.setattr(throttling, "time", lambda: MORNING + 59.5)
        last = api.get("/feedback")
        monkeypatch.setattr(throttling, "time", lambda: MORNING + 60)

        assert (last.status_code, last["Retry-After"], last["RateLimit"]) == (429, "1", '"default";r=0;t=1')
        assert api.get("/feedback")["RateLimit"] == '"default";r=2;t=60'

    def test_nothing_is_stored_by_a_request_too_many(self, api, event):
        statuses = [api.post("/ingest", event, format="json").status_code for _ in range(4)]

        assert statuses == [201, 201, 201, 429]
        assert Sale.objects.count() == 3

    def test_each_key_has_a_limit_of_its_own(self, api):
        first, second = new_key("shop"), new_key("warehouse")

        assert ask(api, 4, Authorization=first) == [200, 200, 200, 429]
        assert ask(api, 1, Authorization=second) == ask(api, 1) == [200]

    def test_staff_count_by_name(self, api):
        api.force_authenticate(User(username="é" * 150, is_staff=True))
        assert ask(api, 4) == [200, 200, 200, 429]

        api.force_authenticate(User(username="other", is_staff=True))
        assert ask(api, 1) == [200]

    def test_callers_without_a_key_count_by_address_whatever_a_header_says(self, api):
        assert ask(api, 4, **{"X-Forwarded-For": "203.0.113.7"}) == [200, 200, 200, 429]
        assert ask(api, 1, **{"X-Forwarded-For": "203.0.113.8"}) == [429]
        assert api.get("/feedback", REMOTE_ADDR="203.0.113.9").status_code == 200

    def test_calls_with_a_wrong_key_count_too(self, api, settings):
        settings.API_KEY_REQUIRED = True
        answers = [api.get("/feedback", headers={"Authorization": f"Api-Key no.{n}"}) for n in range(2)]
        answers += [api.get("/feedback") for _ in range(2)]

        assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
        assert [answer["RateLimit"] for answer in answers] == [f'"default";r={left};t=60' for left in (2, 1, 0, 0)]
        assert ask(api, 1, Authorization=new_key("shop")) == [200]

    def test_a_key_that_may_not_do_this_counts_as_itself(self, api):
        first, second = (f"Api-Key {create_key(name, [Scope.INGEST])}" for name in ("shop", "warehouse"))

        assert ask(api, 4, Authorization=first) == [403, 403, 403, 429]
        assert ask(api, 1, Authorization=second) == [403]

    def test_calls_that_fail_before_their_key_is_looked_at_count_too(self, api):
        assert ask(api, 4, Accept="text/csv", Authorization="Api-Key no.1") == [406, 406, 406, 429]

    def test_users_who_may_not_count_too(self, api, settings):
        settings.API_KEY_REQUIRED = True
        api.force_authenticate(User(username="u"))

        assert ask(api, 4) == [403, 403, 403, 429]

    def test_health_and_pages_of_the_back_office_have_no_limit(self, api):
        for address in ("/healthz", "/readyz", "/admin/login/", "/docs/problems"):
            assert [api.get(address).status_code for _ in range(5)] == [200] * 5


@pytest.mark.usefixtures("limited")
class TestWithoutItsRedis:
    def test_one_that_refuses_lets_everything_through_and_is_logged_once(self, api, settings, caplog):
        settings.CACHES = {"default": cache_config("redis://127.0.0.1:1/0")}

        assert ask(api, 5) == [200] * 5
        assert caplog.text.count("The cache is unavailable, so no rate limit") == 1
        assert "RateLimit" not in api.get("/feedback").headers

    def test_one_that_hangs_costs_one_request_a_moment(self, api, settings):
        with closing(socket.create_server(("127.0.0.1", 0))) as silent:
            settings.CACHES = {"default": cache_config(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")}
            began = time.monotonic()

            assert ask(api, 20) == [200] * 20
            assert time.monotonic() - began < 3

    def test_it_is_asked_again_after_a_while(self, api, settings, monkeypatch):
        settings.CACHES = {"default": cache_config("redis://127.0.0.1:1/0")}
        ask(api, 1)
        settings.CACHES = {"default": cache_config("")}
        later = time.monotonic() + throttling.CACHE_RETRY_DELAY
        monkeypatch.setattr(throttling, "monotonic", lambda: later)

        assert ask(api, 4) == [200, 200, 200, 429]


def test_processes_that_count_for_themselves_are_warned_of(settings):
    settings.RATE_LIMIT = (600, 60)
    settings.WEB_CONCURRENCY = 2
    [warning] = run_checks()

    settings.WEB_CONCURRENCY = 1
    with_one_process = run_checks()
    settings.WEB_CONCURRENCY = 2
    settings.CACHES = {"default": cache_config("redis://cache.example.com/0")}

    assert (warning.id, run_checks(), with_one_process) == ("salesengine.W001", [], [])
    assert "2 times as many" in warning.msg


@needs_redis
@pytest.mark.usefixtures("limited")
def test_connections_to_redis_that_died_are_replaced(api, settings, redis_port, caplog):
    settings.CACHES = {"default": cache_config(f"redis://127.0.0.1:{redis_port}/0")}
    statuses = ask(api, 2)
    with closing(redis.Redis(port=redis_port)) as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    assert statuses + ask(api, 2) == [200, 200, 200, 429]
    assert "The cache is unavailable" not in caplog.text


def ask_often(address):
    with httpx.Client(base_url=address) as client:
        return Counter(client.get("/feedback").status_code for _ in range(20))


@needs_redis
@pytest.mark.slow
def test_two_processes_that_share_a_redis_let_exactly_the_limit_through(start_server, redis_port):
    address = start_server(RATE_LIMIT="50/day", CACHE_URL=f"redis://127.0.0.1:{redis_port}/0", WEB_CONCURRENCY="2")
    with ThreadPoolExecutor(16) as clients:
        answers = sum(clients.map(ask_often, [address] * 16), Counter())

    assert answers == {200: 50, 429: 270}


@pytest.mark.slow
def test_two_processes_that_share_none_let_at_most_twice_the_limit_through(start_server):
    address = start_server(RATE_LIMIT="50/day", WEB_CONCURRENCY="2")
    with ThreadPoolExecutor(16) as clients:
        answers = sum(clients.map(ask_often, [address] * 16), Counter())

    assert 50 < answers[200] <= 100
    assert answers[429] == 320 - answers[200]
