"""Reports through a real server: answers of any size, and clients that do not wait for theirs."""

import http.client
import time
from contextlib import closing
from urllib.parse import urlsplit

import httpx
import pytest

from salesengine.tests.servers import connect_database, new_folder, serve

SLEEPS = "SELECT pg_sleep(30)::text AS slept"
LONG = "SELECT n, repeat('x', 100) AS text FROM generate_series(1, 30000) AS n"
# Not from generate_series, whose rows are all made before the first is given out.
SLOW_ROWS = """WITH RECURSIVE slow AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM slow WHERE n < 1000)
    SELECT n, pg_sleep(0.03)::text AS slept FROM slow"""


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service():
    """A server's address, and its database."""
    with new_folder() as folder:
        for name, sql in (("sleeps", SLEEPS), ("long", LONG), ("slow_rows", SLOW_ROWS)):
            (folder / f"{name}.sql").write_text(f'/*\ntitle = "Probe"\ndescription = "Probe."\n*/\n{sql}')
        extra = {"SQL_DIR": str(folder)}
        with serve(folder, **extra) as address, connect_database(folder) as database:
            yield address, database


def wait_for(database, query, expected, seconds=10):
    """Until the query gives this value; pytest fails when it never does."""
    deadline = time.monotonic() + seconds
    while (found := database.execute(query).fetchone()) != (expected,):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


RUNNING = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'salesengine report %' AND state <> 'idle'"
OUTCOME = "SELECT outcome FROM report_runs ORDER BY id DESC LIMIT 1"


@pytest.mark.parametrize("name", ["sleeps", "slow_rows"])
def test_the_query_of_a_client_that_is_gone_is_ended(service, name):
    address, database = service
    with closing(http.client.HTTPConnection(urlsplit(address).netloc)) as client:
        client.request("GET", f"/reports/{name}?limit=1000")
        wait_for(database, RUNNING, 1)

    wait_for(database, RUNNING, 0)
    wait_for(database, OUTCOME, "cancelled")


def test_an_answer_of_megabytes_is_whole(service):
    answer = httpx.get(f"{service[0]}/reports/long?format=csv&limit=30000", timeout=30)

    assert answer.headers["Report-Truncated"] == "false"
    assert len(answer.content) == int(answer.headers["Content-Length"])
    assert answer.content.count(b"\n") == 30_001


def test_one_connection_takes_answers_with_rows_without_them_and_without_a_body(service):
    address = f"{service[0]}/reports/long?format=csv&limit=5"
    with httpx.Client() as client:
        first = client.get(address)
        known = client.get(address, headers={"If-None-Match": first.headers["ETag"]})
        head = client.head(address)
        again = client.get(address)

    assert [each.status_code for each in (first, known, head, again)] == [200, 304, 200, 200]
    assert (known.content, head.content) == (b"", b"")
    assert first.content == again.content
    for each in (known, head):
        assert not {"content-length", "transfer-encoding"} & {*each.headers}
