"""Every status and every type of problem, provoked through a real server: gunicorn, PostgreSQL, API keys, a limit."""

import gzip
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest

from sales.ingest.schema import EXAMPLE
from salesengine.http import problem_types as problems
from salesengine.http.problem_types import PROBLEM_TYPES, ProblemType
from salesengine.tests.servers import connect_database, new_folder, new_key, serve

SUCCESSES = {200, 201, 207}
SETTINGS = {
    "API_KEY_REQUIRED": "true",
    "RATE_LIMIT": "100/day",
    "WEB_CONCURRENCY": "1",  # a process counts requests in its own memory
    "INGEST_MAX_BYTES": "20000",
    "INGEST_MAX_EXPANDED_BYTES": "30000",
    "INGEST_MAX_EVENTS": "3",
}
REPORTS = {
    "doubtful": '[[assertions]]\nrows = ">= 2"\n*/ SELECT 1 AS one',
    "quotient": '[parameters.by]\ntype = "integer"\ndefault = 1\n*/ SELECT 12 / %(by)s AS quotient',
    "sleeps": "*/ SELECT pg_sleep(30)::text AS slept",
    "hurried": 'timeout = "1s"\n*/ SELECT pg_sleep(30)::text AS slept',
}
WRONG = EXAMPLE | {"REVENUE": "much"}


@dataclass(frozen=True)
class Service:
    """A running service, who calls it, and its database."""

    shop: httpx.Client  # may do all
    reader: httpx.Client  # may only read
    hasty: httpx.Client  # may only read, and does so all the time
    stranger: httpx.Client  # has no key
    database: psycopg.Connection

    def post(self, body: Any, query: str = "", **headers: str) -> httpx.Response:
        """POST /ingest by the shop: bytes as they are, anything else as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | headers
        return self.shop.post(f"/ingest{query}", content=content, headers=headers)

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        with self.database.transaction():
            self.database.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield


@pytest.fixture(scope="module")
def service():
    with ExitStack() as stack:
        folder = stack.enter_context(new_folder())
        for name, text in REPORTS.items():
            (folder / f"{name}.sql").write_text(f'/* title = "Probe"\ndescription = "Probe."\n{text}')
        own_reports = {"SQL_DIR": str(folder)}
        address = stack.enter_context(serve(folder, **SETTINGS, **own_reports))
        keys = [new_key(folder, "shop", "ingest", "read", "reports"), new_key(folder, "reader", "read")]
        keys.append(new_key(folder, "hasty", "read"))
        clients = [httpx.Client(base_url=address, timeout=30, headers=key) for key in keys]
        clients.append(httpx.Client(base_url=address, timeout=30))
        database = connect_database(folder)
        for each in (*clients, database):
            stack.callback(each.close)
        yield Service(*clients, database)


def case(expected, name, provoke, *marks):
    """A case for pytest: `provoke` gets this answer of the service, the status of a success or a problem."""
    slug = expected.slug if isinstance(expected, ProblemType) else expected
    return pytest.param(expected, provoke, id=f"{slug}: {name}", marks=marks)


# What a single request provokes: (a success's status or a problem, how, the request)
SINGLE_REQUESTS = [
    (200, "feedback", lambda service: service.reader.get("/feedback")),
    (200, "a page of sales", lambda service: service.reader.get("/sales", params={"limit": 1})),
    (200, "a rehearsal", lambda service: service.post([EXAMPLE], "?dry_run=true")),
    (200, "the reports", lambda service: service.shop.get("/reports")),
    (200, "a report", lambda service: service.shop.get("/reports/quotient")),
    (201, "one event", lambda service: service.post(EXAMPLE)),
    (201, "a list", lambda service: service.post([EXAMPLE, EXAMPLE])),
    (
        201,
        "one event a line",
        lambda service: service.post(json.dumps(EXAMPLE).encode(), **{"Content-Type": "application/x-ndjson"}),
    ),
    (
        201,
        "a gzip body",
        lambda service: service.post(gzip.compress(json.dumps(EXAMPLE).encode()), **{"Content-Encoding": "gzip"}),
    ),
    (207, "a bad event skipped", lambda service: service.post([EXAMPLE, WRONG], "?on_error=skip")),
    (
        problems.INVALID_REQUEST,
        "an unknown parameter",
        lambda service: service.reader.get("/feedback", params={"colour": "red"}),
    ),
    (
        problems.INVALID_REQUEST,
        "an unknown way to take errors",
        lambda service: service.post(EXAMPLE, "?on_error=guess"),
    ),
    (
        problems.INVALID_REQUEST,
        "a report's parameter that cannot be",
        lambda service: service.shop.get("/reports/quotient", params={"by": "two"}),
    ),
    (
        problems.INVALID_REQUEST,
        "a cursor that is none",
        lambda service: service.reader.get("/sales", params={"cursor": "next"}),
    ),
    (
        problems.INVALID_REQUEST,
        "an idempotency key that cannot be",
        lambda service: service.post(EXAMPLE, **{"Idempotency-Key": "a" * 256}),
    ),
    (
        problems.INVALID_REQUEST,
        "gzip that breaks off",
        lambda service: service.post(gzip.compress(json.dumps(EXAMPLE).encode())[:-9], **{"Content-Encoding": "gzip"}),
    ),
    (
        problems.INVALID_REQUEST,
        "a host that is not ours",
        lambda service: service.reader.get("/feedback", headers={"Host": "elsewhere.example"}),
    ),
    (problems.INVALID_EVENT, "text that is no JSON", lambda service: service.post(b"{")),
    (problems.INVALID_EVENT, "a bad event in a list", lambda service: service.post([EXAMPLE, WRONG])),
    (problems.NOT_AUTHENTICATED, "no key", lambda service: service.stranger.get("/feedback")),
    (
        problems.NOT_AUTHENTICATED,
        "a key that is not known",
        lambda service: service.stranger.post("/ingest", json=EXAMPLE, headers={"Authorization": "Api-Key abc.def"}),
    ),
    (problems.NOT_ALLOWED, "a key that may only read", lambda service: service.reader.post("/ingest", json=EXAMPLE)),
    (problems.NOT_ALLOWED, "a key that may run no reports", lambda service: service.reader.get("/reports/quotient")),
    (problems.NOT_ALLOWED, "a form from elsewhere", lambda service: service.stranger.post("/healthz")),
    (problems.NOT_FOUND, "an address that there is not", lambda service: service.reader.get("/nowhere")),
    (problems.NOT_FOUND, "an order that nobody sent", lambda service: service.reader.get("/sales/nobody's")),
    (problems.NOT_FOUND, "a report that there is not", lambda service: service.shop.get("/reports/none")),
    (problems.METHOD_NOT_ALLOWED, "reading where one sends", lambda service: service.shop.get("/ingest")),
    (
        problems.NOT_ACCEPTABLE,
        "a format that there is not",
        lambda service: service.reader.get("/sales", headers={"Accept": "text/csv"}),
    ),
    (
        problems.NOT_ACCEPTABLE,
        "a format that reports do not have",
        lambda service: service.shop.get("/reports/quotient", headers={"Accept": "image/png"}),
    ),
    (problems.REPORT_CHECK_FAILED, "a row too few", lambda service: service.shop.get("/reports/doubtful")),
    (
        problems.REPORT_FAILED,
        "a division by zero",
        lambda service: service.shop.get("/reports/quotient", params={"by": 0}),
    ),
    (problems.TOOK_TOO_LONG, "a report with a second's time", lambda service: service.shop.get("/reports/hurried")),
    (problems.CONTENT_TOO_LARGE, "too many bytes", lambda service: service.post(b" " * 20_001)),
    (
        problems.CONTENT_TOO_LARGE,
        "too many bytes once expanded",
        lambda service: service.post(gzip.compress(b" " * 30_001), **{"Content-Encoding": "gzip"}),
    ),
    (problems.CONTENT_TOO_LARGE, "too many events", lambda service: service.post([EXAMPLE] * 4)),
    (problems.UNSUPPORTED_MEDIA_TYPE, "CSV", lambda service: service.post(b"ID_ORDER", **{"Content-Type": "text/csv"})),
    (
        problems.UNSUPPORTED_MEDIA_TYPE,
        "another encoding than gzip",
        lambda service: service.post(EXAMPLE, **{"Content-Encoding": "br"}),
    ),
]
CASES = [case(*row) for row in SINGLE_REQUESTS]


def provokes(expected, *marks):
    """Adds what takes more than a single request: a function that returns this answer."""

    def add(provoke):
        CASES.append(case(expected, provoke.__name__.replace("_", " "), provoke, *marks))
        return provoke

    return add


# 200, 201, 207


@provokes(200)
def an_event_sent_twice(service):
    service.post(EXAMPLE | {"EVENT_ID": "twice"})
    return service.post(EXAMPLE | {"EVENT_ID": "twice"})


@provokes(201)
def a_request_that_comes_again(service):
    first, again = (service.post(EXAMPLE, **{"Idempotency-Key": "again"}) for _ in range(2))
    assert first.content == again.content
    return again


@provokes(207)
def a_conflict_skipped(service):
    service.post(EXAMPLE | {"EVENT_ID": "skipped"})
    return service.post(EXAMPLE | {"EVENT_ID": "skipped", "BRAND": "other"}, "?on_error=skip")


# 409, 422: sent before


@provokes(problems.EVENT_CONFLICT)
def an_event_id_with_other_contents(service):
    service.post(EXAMPLE | {"EVENT_ID": "conflict"})
    return service.post(EXAMPLE | {"EVENT_ID": "conflict", "BRAND": "other"})


@provokes(problems.REQUEST_IN_PROGRESS, pytest.mark.slow)  # only after 10 seconds
def a_first_request_that_is_still_running(service):
    with slow_inserts(service, 12), ThreadPoolExecutor(1) as client:
        first = client.submit(service.post, EXAMPLE, **{"Idempotency-Key": "running"})
        process_that_waits(service, "PgSleep")
        second = service.post(EXAMPLE, **{"Idempotency-Key": "running"})
        assert first.result().status_code == 201
        return second


@provokes(problems.IDEMPOTENCY_KEY_REUSED)
def an_idempotency_key_with_another_body(service):
    service.post(EXAMPLE, **{"Idempotency-Key": "reused"})
    return service.post([EXAMPLE], **{"Idempotency-Key": "reused"})


# 429


@provokes(problems.RATE_LIMITED)
def too_many_requests(service):
    answers = (service.hasty.get("/feedback") for _ in range(2 * 101))  # there may be a midnight among them
    return next(answer for answer in answers if answer.status_code != 200)


# 500, 503: the database


@provokes(problems.INTERNAL_ERROR)
def a_table_that_is_missing(service):
    service.database.execute("ALTER TABLE feedback_journal RENAME TO elsewhere")
    try:
        return service.post(EXAMPLE)
    finally:
        service.database.execute("ALTER TABLE elsewhere RENAME TO feedback_journal")


@provokes(problems.DATABASE_UNAVAILABLE)
def a_connection_that_dies_in_the_middle(service):
    with ThreadPoolExecutor(1) as client, service.locked("sales"):
        answer = client.submit(service.post, [EXAMPLE])
        service.database.execute("SELECT pg_terminate_backend(%s)", [process_that_waits(service, "Lock")])
        return answer.result()


@provokes(problems.TOOK_TOO_LONG, pytest.mark.slow)  # only after 5 seconds
def sales_that_are_not_found_in_time(service):
    with service.locked("sales"):
        return service.reader.get("/sales")


@provokes(problems.RUN_CANCELLED)
def a_report_that_staff_end(service):
    with ThreadPoolExecutor(1) as client:
        answer = client.submit(service.shop.get, "/reports/sleeps")
        service.database.execute("SELECT pg_cancel_backend(%s)", [process_that_waits(service, "PgSleep")])
        return answer.result()


@provokes(problems.DATABASE_UNAVAILABLE)
def a_report_whose_connection_dies(service):
    with ThreadPoolExecutor(1) as client:
        answer = client.submit(service.shop.get, "/reports/sleeps")
        service.database.execute("SELECT pg_terminate_backend(%s)", [process_that_waits(service, "PgSleep")])
        return answer.result()


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


def process_that_waits(service: Service, reason: str) -> int:
    """The database's process that waits for this reason (pg_stat_activity), once there is one."""
    for _ in range(500):
        query = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = %(reason)s OR wait_event = %(reason)s"
        if row := service.database.execute(query, {"reason": reason}).fetchone():
            return row[0]
        time.sleep(0.01)
    pytest.fail("no request has come as far as this")


@pytest.mark.slow
@pytest.mark.parametrize(("expected", "provoke"), CASES)
def test_a_real_server_answers_as_it_should(service, expected, provoke):
    answer = provoke(service)

    if expected in SUCCESSES:
        assert (answer.status_code, answer.headers["Content-Type"]) == (expected, "application/json"), answer.text
    else:
        assert answer.headers["Content-Type"] == "application/problem+json", answer.text
        problem = answer.json()
        assert (answer.status_code, problem["type"]) == (expected.status, expected.uri)
        assert (problem["status"], problem["title"]) == (expected.status, expected.title)
        assert problem["request_id"] == answer.headers["X-Request-ID"]


def test_every_success_and_every_problem_is_provoked():
    assert {case.values[0] for case in CASES} == {*SUCCESSES, *PROBLEM_TYPES}
