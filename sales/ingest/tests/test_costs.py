"""POST /ingest: a small hostile request must not cost much memory, space or bandwidth."""

import gzip
import io
import json
import os
import subprocess
import sys
import tracemalloc

import pytest
from django.core.management import CommandError, call_command

from sales.models import RejectedEvent, Sale
from sales.tests.helpers import rejected_event
from salesengine.server.byte_budget import ByteShare
from salesengine.tests.clients import post, problem_of
from salesengine.tests.servers import ROOT

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

GZIP = {"Content-Encoding": "gzip"}
LONG_NAME = "x" * 9_000_000
# Sixteen threads expand a small body at once and print how many may, and the peak of memory in megabytes.
EXPAND_AT_ONCE = """
import gzip, threading
import django
django.setup()
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView
from sales.ingest.bodies import read_batch
from salesengine.http.errors import ServiceBusy

piece = b'{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1}'
body = gzip.compress(b"[" + b",".join([piece.ljust(390)] * 50_000) + b"]")
finished, admitted = threading.Barrier(16), []

def expand():
    headers = {"HTTP_CONTENT_ENCODING": "gzip"}
    request = APIRequestFactory().generic("POST", "/", body, content_type="application/json", **headers)
    try:
        with read_batch(APIView().initialize_request(request)) as (batch, text):
            admitted.append(len(text))
            finished.wait()
    except ServiceBusy:
        finished.wait()

def peak():
    # Not resource.getrusage: its peak includes that of the parent process.
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) // 1024

before = peak()
threads = [threading.Thread(target=expand) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(body), len(admitted), peak() - before)
"""


class Upload(io.BytesIO):
    """The body of a request, as the worker passes it on: with the request's share."""

    def __init__(self, content, share):
        super().__init__(content)
        self.share = share

    def headers(self):
        length = str(len(self.getvalue()))
        return {"wsgi.input": self, "CONTENT_LENGTH": length, "HTTP_CONTENT_ENCODING": "gzip"}


class TestTheResponse:
    @pytest.mark.parametrize("value", [b"1", b"{}"])
    @pytest.mark.parametrize("query", ["", "?on_error=skip", "?on_error=skip&dry_run=true"])
    def test_a_body_of_a_few_bytes_gets_at_most_400_kilobytes(self, api, value, query):
        body = gzip.compress(b"[" + b",".join([value] * 50_000) + b"]")
        assert len(body) < 200

        response = post(api, body, query=query, **GZIP)

        assert len(response.content) < 400_000
        total = response.json().get("rejected") or response.json()["error_count"]
        assert total == 50_000 * (8 if value == b"{}" and not query else 1)

    @pytest.mark.parametrize("query", ["", "?on_error=skip"])
    @pytest.mark.parametrize("body", ['[{"%s": 1}]', '[{"%s": 1, "%s": 2}]', '{"%s": 1, "%s": 2'])
    def test_a_long_name_is_shortened_in_the_response_and_where_it_is_kept(self, api, body, query):
        response = post(api, body.replace("%s", LONG_NAME[:4_000_000]), query=query)

        assert len(response.content) < 3_000
        kept = RejectedEvent.objects.all()
        assert len(kept) == (1 if query and body.endswith("]") else 0)
        assert all(len(json.dumps(row.errors)) < 3_000 for row in kept)

    def test_a_shortened_name_ends_with_an_ellipsis(self, api, event):
        problem = problem_of(post(api, event | {"x" * 101: 1}), 400, "invalid-event")

        assert problem["errors"][0]["pointer"] == f"/{'x' * 99}…"


class TestRejectedEvents:
    def test_a_sender_may_have_only_so_many_waiting(self, api, event, settings):
        settings.MAX_REJECTED_WAITING = 3
        rejected_event(sender="anonymous")

        problem = problem_of(post(api, [event, 7, 7, 7], query="?on_error=skip"), 422, "too-many-rejected")

        assert "The limit is 3" in problem["detail"]
        assert "This sender has 1, and 3 more were sent" in problem["detail"]
        assert (RejectedEvent.objects.count(), Sale.objects.count()) == (1, 0)
        assert post(api, [event, 7, 7], query="?on_error=skip").status_code == 207

    def test_the_waiting_ones_may_have_two_kilobytes_each_on_average(self, api, event, settings):
        settings.MAX_REJECTED_WAITING = 4
        rejected_event(sender="anonymous", content=b"x" * 5_000)

        problem = problem_of(post(api, [event, "y" * 3_000], query="?on_error=skip"), 422, "too-many-rejected")

        assert "The limit is 8,000 bytes" in problem["detail"]
        assert "This sender has 5,000, and 3,002 more were sent" in problem["detail"]
        assert (RejectedEvent.objects.count(), Sale.objects.count()) == (1, 0)
        assert post(api, [event, "y" * 2_000], query="?on_error=skip").status_code == 207

    def test_events_of_others_and_replayed_ones_do_not_count(self, api, settings):
        settings.MAX_REJECTED_WAITING = 1
        rejected_event(sender="shop")
        rejected_event(sender="anonymous", replayed_at="2021-01-07T00:00Z")

        assert post(api, [7], query="?on_error=skip").status_code == 207

    def test_a_dry_run_keeps_none_and_has_no_limit(self, api, settings):
        settings.MAX_REJECTED_WAITING = 0

        assert post(api, [7], query="?on_error=skip&dry_run=true").status_code == 200

    def test_an_import_stops_at_the_limit(self, tmp_path, settings):
        settings.MAX_REJECTED_WAITING = 1
        path = tmp_path / "sales.ndjson"
        path.write_text("7\n8\n")

        with pytest.raises(CommandError, match="The limit is 1 rejected events that wait") as raised:
            call_command("import_sales", str(path), "--on-error", "skip")
        assert raised.value.returncode == 1
        assert not RejectedEvent.objects.exists()


@pytest.fixture
def share():
    """Return the share of another request."""
    share = ByteShare()
    yield share
    share.resize(0)


class TestBytesAtOnce:
    def test_a_body_that_expands_is_refused_while_others_fill_the_budget(self, api, event, settings, share):
        settings.INGEST_MAX_BYTES_AT_ONCE = 1_000_000
        large = gzip.compress(json.dumps(event).encode().ljust(200_000))
        assert share.resize(900_000)

        response = post(api, large, **GZIP)
        problem_of(response, 503, "service-busy")
        assert response["Retry-After"] == "2"
        assert post(api, [event, event]).status_code == 201  # small ones are always accepted

        share.resize(0)
        assert post(api, large, **GZIP).status_code == 201

    def test_a_body_that_expands_beyond_the_budget_is_not_kept_in_memory(self, api, settings, share):
        settings.INGEST_MAX_BYTES_AT_ONCE = 1_000_000
        share.resize(900_000)
        body = gzip.compress(b" " * 40_000_000)
        tracemalloc.start()
        try:
            response = post(api, body, **GZIP)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        problem_of(response, 503, "service-busy")
        assert peak < 4_000_000

    def test_a_body_may_expand_beyond_the_budget_if_it_is_the_only_one(self, api, event, settings):
        settings.INGEST_MAX_BYTES_AT_ONCE = 0

        for _ in range(2):  # the first one gives its share back
            assert post(api, gzip.compress(json.dumps(event).encode().ljust(200_000)), **GZIP).status_code == 201

    def test_a_body_shares_what_its_request_has_received(self, api, event, settings, share):
        settings.INGEST_MAX_BYTES_AT_ONCE = 100_000
        share.resize(90_000)  # as the worker counts a request
        body = Upload(gzip.compress(json.dumps(event).encode().ljust(200_000)), share)

        response = api.generic("POST", "/ingest", "", "application/json", **body.headers())

        assert response.status_code == 201
        assert share.size == 90_000

    def test_a_refused_share_keeps_its_size(self, settings, share):
        settings.INGEST_MAX_BYTES_AT_ONCE = 1_000_000
        second, third = ByteShare(), ByteShare()
        assert share.resize(400_000)
        assert second.resize(400_000)
        assert not second.resize(700_000)
        assert third.resize(200_000)
        assert not third.resize(300_000)
        settings.INGEST_MAX_BYTES_AT_ONCE = 100_000
        assert second.resize(300_000)  # it becomes smaller
        assert second.resize(0)
        assert third.resize(0)

    @pytest.mark.slow
    def test_small_bodies_that_expand_at_once_need_a_bounded_amount_of_memory(self):
        command = [sys.executable, "-c", EXPAND_AT_ONCE]
        environment = os.environ | {"DJANGO_SETTINGS_MODULE": "salesengine.settings", "ENV_FILE": os.devnull}
        finished = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)

        size, admitted, megabytes = map(int, finished.stdout.split())
        assert size < 100_000
        assert 1 <= admitted <= 2
        assert megabytes < 500
