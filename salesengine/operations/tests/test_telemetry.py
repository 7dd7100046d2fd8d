"""A running service sends traces and error reports, and neither contains what clients send."""

import os
import subprocess
import sys

import httpx
import pytest
from django.db import OperationalError
from psycopg_pool import PoolTimeout

from sales.ingest.schema import EXAMPLE
from salesengine.operations.error_reports import prepare
from salesengine.operations.tests.helpers import Workers
from salesengine.operations.tests.receiver import receiving
from salesengine.operations.tracing import span
from salesengine.tests.servers import ROOT, connect_database, new_folder, new_key, serve, wait_until

SECRET = "SELLER-4711"
LIBRARIES = "opentelemetry", "sentry_sdk"


@pytest.fixture(scope="module")
def service():
    """Run a service that sends what it reports to a receiver. Yields the folder, its URL and the receiver."""
    with receiving() as receiver, new_folder() as folder:
        address = f"127.0.0.1:{receiver.server_port}"
        options = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "SENTRY_DSN": f"http://public@{address}/1",
        }
        with serve(folder, **options) as url:
            yield folder, url, receiver


def attributes(span):
    return {item.key: item.value.string_value or item.value.int_value for item in span.attributes}


def spans_named(receiver, name):
    return [span for span in receiver.spans() if span.name == name]


@pytest.mark.slow
def test_a_request_is_a_trace_with_its_statements_but_without_what_the_client_sent(service):
    _, url, receiver = service
    event = EXAMPLE | {"ID_SELLER": SECRET, "EVENT_ID": "1"}
    httpx.post(f"{url}/ingest", json=event).raise_for_status()
    httpx.get(f"{url}/sales", params={"id_seller": SECRET}).raise_for_status()
    httpx.get(f"{url}/healthz")
    wait_until(lambda: spans_named(receiver, "GET sales") and spans_named(receiver, "POST ingest"))

    [request] = spans_named(receiver, "POST ingest")
    statements = [span for span in receiver.spans() if span.trace_id == request.trace_id and span != request]
    assert any("INSERT INTO" in attributes(statement)["db.statement"] for statement in statements)
    assert attributes(request)["http.route"] == "ingest"
    assert not any(SECRET.encode() in body for _, body in receiver.bodies)
    assert not any("healthz" in span.name for span in receiver.spans())


@pytest.mark.slow
def test_a_report_and_a_fold_are_spans_of_their_own_also_after_a_worker_was_killed(service):
    _, url, receiver = service
    Workers(url).kill_one()
    days = [EXAMPLE | {"DATE_PAYMENT": f"2021-{day % 12 + 1:02}-{day // 12 + 1:02}"} for day in range(300)]
    httpx.post(f"{url}/ingest", json=days).raise_for_status()
    for _ in range(10):  # by both workers
        httpx.get(f"{url}/reports/top_brands").raise_for_status()
    wait_until(lambda: len(spans_named(receiver, "report")) == 10 and spans_named(receiver, "fold"))

    assert {attributes(span)["report"] for span in spans_named(receiver, "report")} == {"top_brands"}
    assert attributes(spans_named(receiver, "fold")[0])["fold"] == "sales.totals.folding"


@pytest.mark.slow
def test_an_unexpected_error_is_reported_once_without_what_the_client_sent(service):
    folder, url, receiver = service
    key = new_key(folder, "shop", "ingest")
    headers = key | {"X-Request-ID": "order-4711", "Cookie": f"sessionid={SECRET}"}
    with connect_database(folder) as database:
        database.execute("ALTER TABLE ledger RENAME TO gone")
        try:
            answer = httpx.post(
                f"{url}/ingest", params={"on_error": "skip"}, json=[EXAMPLE | {"BRAND": SECRET}], headers=headers
            )
        finally:
            database.execute("ALTER TABLE gone RENAME TO ledger")
    assert answer.status_code == 500
    wait_until(receiver.events)

    [event] = receiver.events()
    assert event["exception"]["values"][-1]["type"] == "ProgrammingError"
    assert event["tags"]["request_id"] == "order-4711"
    assert event["release"].startswith("salesengine@")
    assert event["request"] == {"method": "POST", "url": f"{url}/ingest"}
    sent = b"".join(body for path, body in receiver.bodies if path.endswith("/envelope/"))
    assert not any(secret.encode() in sent for secret in (SECRET, key["Authorization"].split(".")[1], "on_error"))


@pytest.mark.parametrize("error", [OperationalError("away"), PoolTimeout("away"), None])
def test_what_is_expected_while_the_database_is_away_is_not_reported(error):
    assert prepare({"message": "The database is unavailable"}, {"exc_info": (type(error), error, None)}) is None


def test_other_exceptions_are_reported():
    assert prepare({}, {"exc_info": (ValueError, ValueError("broken"), None)}) == {"tags": {"request_id": "-"}}


def test_without_an_endpoint_a_span_is_nothing():
    with span("report", report="top_brands") as nothing:
        assert nothing is None


@pytest.mark.slow
def test_nothing_is_imported_for_what_is_not_set(tmp_path):
    code = f"import sys, salesengine.wsgi; print([name for name in {LIBRARIES} if name in sys.modules])"
    environment = os.environ | {"LOCAL_DIR": str(tmp_path), "ENV_FILE": os.devnull}
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)

    assert run.stdout == "[]\n", run.stderr
