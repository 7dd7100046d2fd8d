"""RATE_LIMIT: how senders are told apart, which headers responses have, and the limit across processes."""

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
from salesengine.tests.servers import free_port

pytestmark = pytest.mark.django_db
WINDOW_START = 1_800_000_000.25  # 0.25 s after the start of a window of every length
REMAINING = [f'"default";r={remaining};t=60' for remaining in (2, 1, 0, 0)]
REDIS_SERVER = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(REDIS_SERVER is None, reason="redis-server is not installed")


@pytest.fixture
def limited(settings, monkeypatch):
    """Allow three requests per minute, and stop the clock at WINDOW_START."""
    settings.RATE_LIMIT = (3, 60)
    monkeypatch.setattr(APIView, "throttle_classes", [throttling.SenderRateThrottle])
    monkeypatch.setattr(throttling, "_skip_cache_until", 0.0)
    monkeypatch.setattr(throttling, "time", lambda: WINDOW_START)
    cache.clear()


@pytest.fixture
def redis_port():
    """Run a Redis and yield its port."""
    port = free_port()
    process = subprocess.Popen(
        [REDIS_SERVER, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
    )
    with closing(redis.Redis(port=port)) as client:
        for _ in range(600):
            with suppress(redis.ConnectionError):
                client.ping()
                break
            time.sleep(0.05)
        yield port
    process.terminate()
    process.wait(timeout=60)


def get_statuses(api, times, **headers):
    return [api.get("/feedback", headers=headers).status_code for _ in range(times)]


def new_key(name):
    return f"Api-Key {create_key(name, [Scope.READ])}"


def test_without_a_limit_responses_have_no_rate_limit_headers(api):
    assert APIView.throttle_classes == []
    for url in ("/feedback", "/feedback?colour=red"):
        assert not [name for name in api.get(url).headers if name.startswith("RateLimit")]


@pytest.mark.usefixtures("limited")
class TestRateLimit:
    def test_a_request_over_the_limit_is_rejected_with_retry_after(self, api):
        responses = [api.get("/feedback") for _ in range(5)]

        assert [response.status_code for response in responses] == [200, 200, 200, 429, 429]
        assert responses[3]["Retry-After"] == "60"
        assert responses[3].json()["type"] == "/docs/problems#rate-limited"

    def test_every_response_has_the_limit_and_what_remains(self, api):
        responses = [api.get("/feedback"), api.get("/feedback?colour=red"), api.put("/feedback"), api.get("/feedback")]

        assert [response.status_code for response in responses] == [200, 400, 405, 429]
        assert {response["RateLimit-Policy"] for response in responses} == {'"default";q=3;w=60'}
        assert [response["RateLimit"] for response in responses] == REMAINING

    def test_each_window_has_the_full_limit(self, api, monkeypatch):
        get_statuses(api, 4)
        monkeypatch.setattr(throttling, "time", lambda: WINDOW_START + 59.5)
        last = api.get("/feedback")
        monkeypatch.setattr(throttling, "time", lambda: WINDOW_START + 60)

        assert (last.status_code, last["Retry-After"], last["RateLimit"]) == (429, "1", '"default";r=0;t=1')
        assert api.get("/feedback")["RateLimit"] == '"default";r=2;t=60'

    def test_a_request_over_the_limit_stores_nothing(self, api, event):
        statuses = [api.post("/ingest", event, format="json").status_code for _ in range(4)]

        assert statuses == [201, 201, 201, 429]
        assert Sale.objects.count() == 3

    def test_each_key_has_its_own_limit(self, api):
        first, second = new_key("shop"), new_key("warehouse")

        assert get_statuses(api, 4, Authorization=first) == [200, 200, 200, 429]
        assert get_statuses(api, 1, Authorization=second) == get_statuses(api, 1) == [200]

    def test_staff_are_counted_by_user_name(self, api):
        api.force_authenticate(User(username="é" * 150, is_staff=True))
        assert get_statuses(api, 4) == [200, 200, 200, 429]

        api.force_authenticate(User(username="other", is_staff=True))
        assert get_statuses(api, 1) == [200]

    def test_requests_without_a_key_are_counted_by_address_and_a_forged_header_is_ignored(self, api):
        assert get_statuses(api, 4, **{"X-Forwarded-For": "203.0.113.7"}) == [200, 200, 200, 429]
        assert get_statuses(api, 1, **{"X-Forwarded-For": "203.0.113.8"}) == [429]
        assert api.get("/feedback", REMOTE_ADDR="203.0.113.9").status_code == 200

    def test_requests_with_a_wrong_key_are_counted(self, api, settings):
        settings.API_KEY_REQUIRED = True
        responses = [api.get("/feedback", headers={"Authorization": f"Api-Key no.{n}"}) for n in range(2)]
        responses += [api.get("/feedback") for _ in range(2)]

        assert [response.status_code for response in responses] == [401, 401, 401, 429]
        assert [response["RateLimit"] for response in responses] == REMAINING
        assert get_statuses(api, 1, Authorization=new_key("shop")) == [200]

    def test_requests_that_a_key_has_no_permission_for_are_counted_by_key(self, api):
        first, second = (f"Api-Key {create_key(name, [Scope.INGEST])}" for name in ("shop", "warehouse"))

        assert get_statuses(api, 4, Authorization=first) == [403, 403, 403, 429]
        assert get_statuses(api, 1, Authorization=second) == [403]

    def test_requests_that_fail_before_authentication_are_counted(self, api):
        assert get_statuses(api, 4, Accept="text/csv", Authorization="Api-Key no.1") == [406, 406, 406, 429]

    def test_requests_that_fail_before_authentication_are_counted_by_key(self, api):
        key = new_key("shop")

        assert get_statuses(api, 4, Accept="text/csv", Authorization=key) == [406, 406, 406, 429]
        assert get_statuses(api, 1) == [200], "another sender at the same address"

    def test_requests_of_users_without_permission_are_counted(self, api, settings):
        settings.API_KEY_REQUIRED = True
        api.force_authenticate(User(username="u"))

        assert get_statuses(api, 4) == [403, 403, 403, 429]

    def test_health_checks_and_pages_have_no_limit(self, api):
        for url in ("/healthz", "/readyz", "/admin/login/", "/docs/problems"):
            assert [api.get(url).status_code for _ in range(5)] == [200] * 5


@pytest.mark.usefixtures("limited")
class TestUnavailableRedis:
    def test_without_redis_all_requests_are_allowed_and_one_warning_is_logged(self, api, settings, caplog):
        settings.CACHES = {"default": cache_config("redis://127.0.0.1:1/0")}

        assert get_statuses(api, 5) == [200] * 5
        assert caplog.text.count("The cache is unavailable, so the rate limit is off") == 1
        assert "RateLimit" not in api.get("/feedback").headers

    def test_a_redis_that_hangs_delays_only_one_request(self, api, settings):
        with closing(socket.create_server(("127.0.0.1", 0))) as silent:
            settings.CACHES = {"default": cache_config(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")}
            start = time.monotonic()

            assert get_statuses(api, 20) == [200] * 20
            assert time.monotonic() - start < 9  # of 10 that 20 delays take

    def test_redis_is_tried_again_after_a_delay(self, api, settings, monkeypatch):
        settings.CACHES = {"default": cache_config("redis://127.0.0.1:1/0")}
        get_statuses(api, 1)
        settings.CACHES = {"default": cache_config("")}
        later = time.monotonic() + throttling.CACHE_RETRY_DELAY
        monkeypatch.setattr(throttling, "monotonic", lambda: later)

        assert get_statuses(api, 4) == [200, 200, 200, 429]


def test_a_check_warns_of_processes_that_count_separately(settings):
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
def test_dead_connections_to_redis_are_replaced(api, settings, redis_port, caplog):
    settings.CACHES = {"default": cache_config(f"redis://127.0.0.1:{redis_port}/0")}
    statuses = get_statuses(api, 2)
    with closing(redis.Redis(port=redis_port)) as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    assert statuses + get_statuses(api, 2) == [200, 200, 200, 429]
    assert "The cache is unavailable" not in caplog.text


def count_statuses(url):
    with httpx.Client(base_url=url) as client:
        return Counter(client.get("/feedback").status_code for _ in range(20))


@needs_redis
@pytest.mark.slow
def test_two_processes_with_a_shared_redis_allow_exactly_the_limit(start_server, redis_port):
    url = start_server(RATE_LIMIT="50/day", CACHE_URL=f"redis://127.0.0.1:{redis_port}/0", WEB_CONCURRENCY="2")
    with ThreadPoolExecutor(16) as clients:
        statuses = sum(clients.map(count_statuses, [url] * 16), Counter())

    assert statuses == {200: 50, 429: 270}


@pytest.mark.slow
def test_two_processes_without_redis_allow_at_most_twice_the_limit(start_server):
    url = start_server(RATE_LIMIT="50/day", WEB_CONCURRENCY="2")
    with ThreadPoolExecutor(16) as clients:
        statuses = sum(clients.map(count_statuses, [url] * 16), Counter())

    assert 50 < statuses[200] <= 100
    assert statuses[429] == 320 - statuses[200]
