"""The log has one line for each request, as text or JSON, and nothing secret."""

import io
import json
import logging
import re
import select
from concurrent.futures import ThreadPoolExecutor
from logging.config import DictConfigurator

import httpx
import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import reverse

from salesengine.accounts.api_keys import create_key
from salesengine.http.middleware import WAITED
from salesengine.http.request_ids import RequestIDMiddleware, clear_request_id
from salesengine.logs import LOG_FORMATS
from salesengine.operations import requests
from salesengine.operations.request_lines import DelayedLines, RequestLine
from salesengine.operations.requests import RequestMiddleware, logger
from salesengine.tests.servers import ROOT, new_folder, serve, wait_until

pytestmark = pytest.mark.django_db

FIELDS = {
    "time",
    "level",
    "logger",
    "message",
    "request_id",
    "method",
    "route",
    "path",
    "status",
    "ms",
    "bytes",
    "client",
}


@pytest.fixture
def log(monkeypatch):
    """Return a function that returns what the project's handler has written, and the handler."""
    [handler] = [handler for handler in logging.root.handlers if type(handler) is logging.StreamHandler]
    stream = io.StringIO()
    monkeypatch.setattr(handler, "stream", stream)
    monkeypatch.setattr(logger, "disabled", False)
    return stream.getvalue


@pytest.fixture
def records(log, monkeypatch):
    """Return a function that returns the lines of the log in JSON as dictionaries."""
    [handler] = [handler for handler in logging.root.handlers if type(handler) is logging.StreamHandler]
    configurator = DictConfigurator({"formats": LOG_FORMATS})
    monkeypatch.setattr(handler, "formatter", configurator.configure_formatter(configurator.config["formats"]["json"]))
    return lambda: [json.loads(line) for line in log().splitlines()]


@pytest.fixture
def debugging():
    """Yield a function that lets the log contain what is for debugging."""
    yield lambda: logger.setLevel(logging.DEBUG)
    logger.setLevel(logging.NOTSET)


def without_times(text):
    return re.sub(r"\d{4}-\d\d-\d\d[ T][\d:.,]+|[\d.]+(?= ms)|(?<=\"ms\":)[\d.]+", "…", text).strip()


def examples(language):
    """Return the lines of the code blocks in this language under "Logs" of the page on operations."""
    section = (ROOT / "docs" / "operations.md").read_text().partition("\n## Logs\n")[2].partition("\n## ")[0]
    return [without_times(block) for block in re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)]


def post_example(api, event):
    key = create_key("web shop", ["ingest"])
    headers = {"Authorization": f"Api-Key {key}", "X-Request-ID": "order-4711"}
    assert api.post("/ingest", [event, event], format="json", headers=headers).status_code == 201


def test_a_request_is_one_line_of_text_as_the_documentation_shows(api, event, log):
    post_example(api, event)

    assert [without_times(log())] == examples("text")


def test_a_request_is_one_line_of_json_as_the_documentation_shows(api, event, records, log):
    post_example(api, event)

    assert [without_times(log())] == examples("json")
    assert records()[0].keys() == FIELDS | {"events"}


def test_the_log_says_which_member_of_staff_asked(client, records):
    client.force_login(User.objects.create_superuser("alice"))
    client.get("/admin/")

    [record] = records()
    assert (record["client"], record["route"], record["status"]) == ("user:alice", "admin:index", 200)


def test_no_query_string_body_or_header_is_logged(api, event, records, log):
    key = create_key("web shop", ["read"])
    headers = {"Authorization": f"Api-Key {key}", "Cookie": "sessionid=hidden"}
    api.post("/ingest?a=hidden", [event | {"BRAND": "hidden"}], format="json", headers=headers)
    api.get("/feedback?start_date=1999-12-31", headers=headers)
    api.get("/nowhere?x=hidden", headers=headers)

    assert [record["status"] for record in records()] == [403, 200, 404]
    assert "hidden" not in log()
    assert "1999-12-31" not in log()
    assert key.partition(".")[2] not in log()


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/static/salesengine/colors.css", "/static/nothing.css"])
def test_probes_and_static_files_are_logged_for_debugging_only(api, path, log, debugging):
    api.get(path)
    assert log() == ""

    debugging()
    api.get(path)
    assert f"salesengine.operations.requests: GET {path} " in log()


def test_a_path_cannot_begin_a_new_line(api, log):
    api.get("/no%0Awhere%1B[31m\u2028")

    assert len(log().splitlines()) == 1
    assert "/no%0Awhere%1B" in log()


def test_a_request_that_takes_long_is_a_warning(api, records, settings):
    settings.SLOW_SECONDS = 1e-9
    api.get("/docs")

    [record] = records()
    assert (record["level"], record["message"].split()[0]) == ("WARNING", "slow:")


def test_the_time_that_a_client_asked_to_wait_is_not_slow(rf, records, settings):
    settings.SLOW_SECONDS = 1e-9

    def wait(request):
        request.META[WAITED] = 1_000
        return HttpResponse()

    RequestMiddleware(wait)(rf.get("/changes"))

    assert [record["level"] for record in records()] == ["INFO"]


def test_a_slow_request_is_logged_even_if_others_are_not(api, log, settings, monkeypatch):
    monkeypatch.setattr(logger, "isEnabledFor", lambda level: level >= logging.WARNING)
    api.get("/docs")
    assert log() == ""

    settings.SLOW_SECONDS = 1e-9
    api.get("/docs")
    assert "slow: GET /docs 200" in log()


def test_a_streamed_response_is_logged_when_its_last_byte_is_sent(rf, records):
    response = RequestMiddleware(lambda request: StreamingHttpResponse([b"abc", b"de"]))(rf.get("/anything"))
    pieces = iter(response)
    assert next(pieces) == b"abc"
    assert records() == []

    assert list(pieces) == [b"de"]
    response.close()
    assert [record["bytes"] for record in records()] == [5]


@pytest.mark.django_db(transaction=True, databases=["default", "reports"])
def test_a_streamed_response_has_its_request_id(client, records):
    client.force_login(User.objects.create_superuser("alice"))
    response = client.get(
        reverse("admin:analytics_report_download", args=["top_brands", "csv"]),
        headers={"X-Request-ID": "of-the-client"},
    )
    content = b"".join(response)
    response.close()

    [record] = [record for record in records() if record.get("status") == 200]
    assert (record["request_id"], record["bytes"]) == ("of-the-client", len(content))


def test_a_traceback_is_one_field_of_json_and_the_query_string_is_in_none(api, monkeypatch, records, log):
    def fail(*arguments):
        raise RuntimeError("broken")

    monkeypatch.setattr("sales.totals.feedback.top_categories", fail)
    api.get("/feedback?start_date=1999-12-31")

    [failure] = [record for record in records() if "traceback" in record]
    assert failure["traceback"].startswith("Traceback (most recent call last):\n")
    assert failure["traceback"].endswith("RuntimeError: broken")
    assert "1999-12-31" not in log()


def test_a_rejected_request_is_logged_once(api, records):
    api.get("/feedback?colour=red")

    assert [record["status"] for record in records()] == [400]


# Delayed lines


@pytest.fixture
def delayed():
    """Return lines that are delayed, and the list of what has been written."""
    target = logging.StreamHandler(WriteByWrite())
    target.setFormatter(logging.Formatter("[%(request_id)s] %(message)s"))
    return DelayedLines(target), target.stream.writes


def line(path, levelno=logging.INFO):
    return RequestLine(0, "-", levelno, "GET", path, 200, 0.0015, 10, "shop", "other", None)


def written(path):
    return f"[-] GET {path} 200, 1.5 ms, 10 bytes, shop"


class WriteByWrite(io.StringIO):
    def __init__(self):
        super().__init__()
        self.writes = []

    def write(self, text):
        self.writes.append(text)


def test_lines_are_written_together_with_the_id_of_the_request_that_they_belong_to(rf, log, delayed, monkeypatch):
    lines, writes = delayed
    monkeypatch.setattr(requests, "log_line", lines.add)
    for name in ("a", "b"):
        request = rf.get(f"/{name}", headers={"X-Request-ID": name})
        RequestIDMiddleware(RequestMiddleware(lambda request: HttpResponse(b"12345")))(request)
        clear_request_id()
    assert writes == []

    lines.flush()
    lines.flush()
    [text] = writes
    assert [re.sub(r"[\d.]+ ms", "1 ms", line) for line in text.splitlines()] == [
        "[a] GET /a 200, 1 ms, 5 bytes, anonymous",
        "[b] GET /b 200, 1 ms, 5 bytes, anonymous",
    ]


def test_a_line_says_when_the_request_ended_not_when_it_is_written():
    record = line("/")._replace(created=86_400.25).record()

    assert logging.Formatter("%(asctime)s").format(record).endswith(":00:00,250")


def test_a_warning_is_written_at_once_after_what_happened_before(delayed):
    lines, writes = delayed
    lines.add(line("/before"))
    lines.add(line("/late", logging.WARNING))

    assert "".join(writes).splitlines() == [written("/before"), written("/late").replace("GET", "slow: GET")]


def test_no_piece_is_too_long_for_a_pipe_to_take_as_a_whole(delayed):
    lines, writes = delayed
    paths = [f"/{number:04}" for number in range(300)]
    for path in paths:
        lines.add(line(path)._replace(client="é" * 40))
    lines.flush()

    assert max(len(piece.encode()) for piece in writes) <= select.PIPE_BUF
    assert all(piece.endswith("\n") for piece in writes)
    assert len(writes) < len(paths) / 20
    assert "".join(writes).splitlines() == [written(path).replace("shop", "é" * 40) for path in paths]


def test_threads_that_flush_at_the_same_time_write_each_line_once(delayed):
    lines, writes = delayed
    with ThreadPoolExecutor(4) as pool:
        for number in range(2_000):
            lines.add(line(f"/{number}"))
            if not number % 10:
                pool.submit(lines.flush)
    lines.flush()

    assert sorted("".join(writes).splitlines()) == sorted(written(f"/{number}") for number in range(2_000))


def test_a_line_that_cannot_be_written_stops_nothing(delayed, capsys):
    lines, writes = delayed
    lines.add(line("/before")._replace(created=None))
    lines.flush()
    lines.add(line("/after"))
    lines.flush()

    assert "".join(writes).splitlines() == [written("/after")]
    assert "the lines of requests" in capsys.readouterr().err


@pytest.mark.slow
def test_a_worker_writes_the_lines_of_its_requests_soon_and_all_before_it_stops():
    with new_folder() as folder:
        with serve(folder) as url, httpx.Client(base_url=url) as client:
            client.get("/soon")
            wait_until(lambda: " /soon " in (folder / "log").read_text(), seconds=5)
            for number in range(200):
                client.get(f"/nothing/{number}")
        lines = (folder / "log").read_text().splitlines()

    assert [number for number in range(200) if not any(f" /nothing/{number} " in line for line in lines)] == []
