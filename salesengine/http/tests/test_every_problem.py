"""Trigger every status and every problem type on a real server with gunicorn, PostgreSQL, API keys and a rate limit."""

import gzip
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from sales.ingest.schema import EXAMPLE
from salesengine.http import problem_types as problems
from salesengine.http.problem_types import PROBLEM_TYPES, ProblemType
from salesengine.http.tests.limited_service import Service, running_service
from salesengine.tests.proxy import serve_through_proxy

SUCCESSES = {200, 201, 207}
WRONG = EXAMPLE | {"REVENUE": "much"}


@pytest.fixture(scope="module")
def service():
    with running_service() as service:
        yield service


def case(expected, name, request, *marks):
    """Return a pytest case: `request` gets the expected response, the status of a success or a problem."""
    slug = expected.slug if isinstance(expected, ProblemType) else expected
    return pytest.param(expected, request, id=f"{slug}: {name}", marks=marks)


# (expected status or problem, description, request)
SINGLE_REQUESTS = [
    (200, "feedback", lambda service: service.reader.get("/feedback")),
    (200, "a page of sales", lambda service: service.reader.get("/sales", params={"limit": 1})),
    (200, "changes", lambda service: service.reader.get("/changes", params={"limit": 1})),
    (200, "a dry run", lambda service: service.post([EXAMPLE], "?dry_run=true")),
    (200, "the reports", lambda service: service.shop.get("/reports")),
    (200, "a report", lambda service: service.shop.get("/reports/quotient")),
    (201, "one event", lambda service: service.post(EXAMPLE)),
    (201, "a list", lambda service: service.post([EXAMPLE, EXAMPLE])),
    (
        201,
        "newline-delimited JSON",
        lambda service: service.post(json.dumps(EXAMPLE).encode(), **{"Content-Type": "application/x-ndjson"}),
    ),
    (
        201,
        "a gzip body",
        lambda service: service.post(gzip.compress(json.dumps(EXAMPLE).encode()), **{"Content-Encoding": "gzip"}),
    ),
    (207, "an invalid event skipped", lambda service: service.post([EXAMPLE, WRONG], "?on_error=skip")),
    (
        problems.INVALID_REQUEST,
        "an unknown parameter",
        lambda service: service.reader.get("/feedback", params={"colour": "red"}),
    ),
    (
        problems.INVALID_REQUEST,
        "an unknown on_error",
        lambda service: service.post(EXAMPLE, "?on_error=guess"),
    ),
    (
        problems.INVALID_REQUEST,
        "an invalid parameter of a report",
        lambda service: service.shop.get("/reports/quotient", params={"by": "two"}),
    ),
    (
        problems.INVALID_REQUEST,
        "an invalid cursor",
        lambda service: service.reader.get("/sales", params={"cursor": "next"}),
    ),
    (
        problems.INVALID_REQUEST,
        "an idempotency key that is too long",
        lambda service: service.post(EXAMPLE, **{"Idempotency-Key": "a" * 256}),
    ),
    (
        problems.INVALID_REQUEST,
        "truncated gzip",
        lambda service: service.post(gzip.compress(json.dumps(EXAMPLE).encode())[:-9], **{"Content-Encoding": "gzip"}),
    ),
    (
        problems.INVALID_REQUEST,
        "a disallowed host",
        lambda service: service.reader.get("/feedback", headers={"Host": "elsewhere.example"}),
    ),
    (problems.INVALID_EVENT, "invalid JSON", lambda service: service.post(b"{")),
    (problems.INVALID_EVENT, "an invalid event in a list", lambda service: service.post([EXAMPLE, WRONG])),
    (problems.NOT_AUTHENTICATED, "no key", lambda service: service.stranger.get("/feedback")),
    (
        problems.NOT_AUTHENTICATED,
        "an unknown key",
        lambda service: service.stranger.post("/ingest", json=EXAMPLE, headers={"Authorization": "Api-Key abc.def"}),
    ),
    (
        problems.NOT_ALLOWED,
        "a key without the scope ingest",
        lambda service: service.reader.post("/ingest", json=EXAMPLE),
    ),
    (problems.NOT_ALLOWED, "a key without the scope reports", lambda service: service.reader.get("/reports/quotient")),
    (problems.NOT_ALLOWED, "a csrf failure", lambda service: service.stranger.post("/healthz")),
    (problems.NOT_FOUND, "an unknown URL", lambda service: service.reader.get("/nowhere")),
    (problems.NOT_FOUND, "an unknown order", lambda service: service.reader.get("/sales/nobody's")),
    (problems.NOT_FOUND, "an unknown report", lambda service: service.shop.get("/reports/none")),
    (problems.SALE_NOT_FOUND, "an unknown EVENT_ID", lambda service: service.void("unknown")),
    (problems.METHOD_NOT_ALLOWED, "GET instead of POST", lambda service: service.shop.get("/ingest")),
    (
        problems.NOT_ACCEPTABLE,
        "an unsupported format",
        lambda service: service.reader.get("/sales", headers={"Accept": "text/csv"}),
    ),
    (
        problems.NOT_ACCEPTABLE,
        "an unsupported format of changes",
        lambda service: service.reader.get("/changes", headers={"Accept": "text/csv"}),
    ),
    (
        problems.NOT_ACCEPTABLE,
        "an unsupported format of a report",
        lambda service: service.shop.get("/reports/quotient", headers={"Accept": "image/png"}),
    ),
    (problems.REPORT_CHECK_FAILED, "a failed assertion", lambda service: service.shop.get("/reports/doubtful")),
    (
        problems.REPORT_FAILED,
        "a division by zero",
        lambda service: service.shop.get("/reports/quotient", params={"by": 0}),
    ),
    (
        problems.TOOK_TOO_LONG,
        "a report with a timeout of one second",
        lambda service: service.shop.get("/reports/hurried"),
    ),
    (problems.CONTENT_TOO_LARGE, "too many bytes", lambda service: service.post(b" " * 20_001)),
    (
        problems.CONTENT_TOO_LARGE,
        "too many bytes after decompression",
        lambda service: service.post(gzip.compress(b" " * 200_001), **{"Content-Encoding": "gzip"}),
    ),
    (problems.CONTENT_TOO_LARGE, "too many events", lambda service: service.post([EXAMPLE] * 4)),
    (problems.UNSUPPORTED_MEDIA_TYPE, "CSV", lambda service: service.post(b"ID_ORDER", **{"Content-Type": "text/csv"})),
    (
        problems.UNSUPPORTED_MEDIA_TYPE,
        "an unsupported encoding",
        lambda service: service.post(EXAMPLE, **{"Content-Encoding": "br"}),
    ),
]
CASES = [case(*row) for row in SINGLE_REQUESTS]


def expects(expected, *marks):
    """Add a case that needs more than one request: a function that returns the expected response."""

    def add(request):
        CASES.append(case(expected, request.__name__.replace("_", " "), request, *marks))
        return request

    return add


# 200, 201, 207


@expects(200)
def an_event_sent_twice(service):
    service.post(EXAMPLE | {"EVENT_ID": "twice"})
    return service.post(EXAMPLE | {"EVENT_ID": "twice"})


@expects(201)
def a_request_sent_twice(service):
    first, second = (service.post(EXAMPLE, **{"Idempotency-Key": "repeated"}) for _ in range(2))
    assert first.content == second.content
    return second


@expects(207)
def a_conflict_skipped(service):
    service.post(EXAMPLE | {"EVENT_ID": "skipped"})
    return service.post(EXAMPLE | {"EVENT_ID": "skipped", "BRAND": "other"}, "?on_error=skip")


# 409, 422: duplicates


@expects(problems.EVENT_CONFLICT)
def an_event_id_with_different_contents(service):
    service.post(EXAMPLE | {"EVENT_ID": "conflict"})
    return service.post(EXAMPLE | {"EVENT_ID": "conflict", "BRAND": "other"})


@expects(problems.ALREADY_CORRECTED)
def a_sale_that_is_voided_twice(service):
    service.post(EXAMPLE | {"EVENT_ID": "wrong"})
    service.void("wrong")
    return service.void("wrong")


@expects(problems.SALES_ARCHIVED)
def feedback_of_a_part_of_an_archived_day(service):
    service.database.execute(
        "INSERT INTO archived_month (month, part, url, sha256, sales_count, revenue, sale_ids, first_id, last_id,"
        " received_at, tallies, trades, archived_by)"
        " VALUES ('2001-01-01', 1, '', '', 0, 0, '{}', 0, 0, now(), '[]', '[]', '')"
    )
    return service.reader.get("/feedback", params={"start_date": "2001-01-07T12:00"})


@expects(problems.REQUEST_IN_PROGRESS, pytest.mark.slow)  # takes 10 seconds
def a_first_request_that_is_still_running(service):
    with slow_inserts(service, 12), ThreadPoolExecutor(1) as client:
        first = client.submit(service.post, EXAMPLE, **{"Idempotency-Key": "running"})
        wait_for_process(service, "PgSleep")
        second = service.post(EXAMPLE, **{"Idempotency-Key": "running"})
        assert first.result().status_code == 201
        return second


@expects(problems.IDEMPOTENCY_KEY_REUSED)
def an_idempotency_key_with_a_different_body(service):
    service.post(EXAMPLE, **{"Idempotency-Key": "reused"})
    return service.post([EXAMPLE], **{"Idempotency-Key": "reused"})


@expects(problems.TOO_MANY_REJECTED)
def more_rejected_events_than_may_wait(service):
    service.post([WRONG] * 3, "?on_error=skip")
    return service.post([WRONG] * 3, "?on_error=skip")


# 410


@expects(problems.POSITION_PURGED)
def a_position_whose_changes_are_purged(service):
    for _ in range(2):
        service.post([EXAMPLE])
    service.reader.get("/changes", params={"after": "latest"})
    service.database.execute("DELETE FROM ledger WHERE position < (SELECT MAX(position) FROM ledger)")
    return service.reader.get("/changes")


# 429


@expects(problems.RATE_LIMITED)
def too_many_requests(service):
    # Twice the limit, because a new window may start in between.
    responses = (service.hasty.get("/feedback") for _ in range(2 * 101))
    return next(response for response in responses if response.status_code != 200)


# 503: too much at once


@expects(problems.SERVICE_BUSY)
def two_large_requests_at_the_same_time(service):
    large = gzip.compress(json.dumps(EXAMPLE).encode().ljust(150_000))
    with ThreadPoolExecutor(1) as client:
        with service.locked("sales"):
            first = client.submit(service.post, large, **{"Content-Encoding": "gzip"})
            wait_for_process(service, "Lock")
            second = service.post(large, **{"Content-Encoding": "gzip"})
        assert first.result().status_code == 201
        return second


# 500, 503: the database


@expects(problems.INTERNAL_ERROR)
def a_missing_table(service):
    service.database.execute("ALTER TABLE ledger RENAME TO elsewhere")
    try:
        return service.post(EXAMPLE)
    finally:
        service.database.execute("ALTER TABLE elsewhere RENAME TO ledger")


@expects(problems.DATABASE_UNAVAILABLE)
def a_connection_that_dies_during_a_write(service):
    with ThreadPoolExecutor(1) as client, service.locked("sales"):
        response = client.submit(service.post, [EXAMPLE])
        service.database.execute("SELECT pg_terminate_backend(%s)", [wait_for_process(service, "Lock")])
        return response.result()


@expects(problems.OUTCOME_UNKNOWN)
def a_connection_that_breaks_after_the_commit(service):
    with serve_through_proxy(Path(service.database.info.host)) as (address, proxy):
        proxy.cut_after(b"COMMIT")
        return httpx.post(f"{address}/ingest", json=[EXAMPLE], timeout=30)


@expects(problems.OUTCOME_UNKNOWN, pytest.mark.slow)  # takes 7 seconds
def a_single_event_whose_group_takes_too_long(service):
    with slow_inserts(service, 2), ThreadPoolExecutor(2) as clients:
        clients.submit(service.post, EXAMPLE)
        wait_for_process(service, "PgSleep")
        time.sleep(0.5)
        clients.submit(service.post, EXAMPLE)  # leads the next group, which takes 4 seconds
        time.sleep(0.5)
        return service.post(EXAMPLE)


@expects(problems.TOOK_TOO_LONG, pytest.mark.slow)  # takes 5 seconds
def a_query_that_reaches_its_time_limit(service):
    with service.locked("sales"):
        return service.reader.get("/sales")


@expects(problems.RUN_CANCELLED)
def a_report_that_staff_cancel(service):
    with ThreadPoolExecutor(1) as client:
        response = client.submit(service.shop.get, "/reports/sleeps")
        service.database.execute("SELECT pg_cancel_backend(%s)", [wait_for_process(service, "PgSleep")])
        return response.result()


@expects(problems.DATABASE_UNAVAILABLE)
def a_report_whose_connection_dies(service):
    with ThreadPoolExecutor(1) as client:
        response = client.submit(service.shop.get, "/reports/sleeps")
        service.database.execute("SELECT pg_terminate_backend(%s)", [wait_for_process(service, "PgSleep")])
        return response.result()


@contextmanager
def slow_inserts(service: Service, seconds: int) -> Iterator[None]:
    service.database.execute(
        "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql"
        f" AS 'BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END'"
    )
    service.database.execute("CREATE TRIGGER slowly BEFORE INSERT ON sales EXECUTE FUNCTION slowly()")
    try:
        yield
    finally:
        service.database.execute("DROP FUNCTION slowly CASCADE")


def wait_for_process(service: Service, reason: str) -> int:
    """Wait for a database process that waits for `reason` (as in pg_stat_activity), and return its id."""
    for _ in range(3_000):
        query = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = %(reason)s OR wait_event = %(reason)s"
        if row := service.database.execute(query, {"reason": reason}).fetchone():
            return row[0]
        time.sleep(0.01)
    pytest.fail(f"no database process waits for {reason}")


@pytest.mark.slow
@pytest.mark.parametrize(("expected", "request_case"), CASES)
def test_a_real_server_sends_the_expected_response(service, expected, request_case):
    response = request_case(service)

    if expected in SUCCESSES:
        assert (response.status_code, response.headers["Content-Type"]) == (expected, "application/json"), response.text
    else:
        assert response.headers["Content-Type"] == "application/problem+json", response.text
        problem = response.json()
        assert (response.status_code, problem["type"]) == (expected.status, expected.uri)
        assert (problem["status"], problem["title"]) == (expected.status, expected.title)
        assert problem["request_id"] == response.headers["X-Request-ID"]


def test_the_cases_cover_every_success_and_every_problem():
    assert {case.values[0] for case in CASES} == {*SUCCESSES, *PROBLEM_TYPES}
