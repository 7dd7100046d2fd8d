"""Reports through a real server: large responses, and clients that disconnect."""

import http.client
import time
from contextlib import closing
from urllib.parse import urlsplit

import httpx
import pytest

from salesengine.tests.servers import connect_database, new_folder, serve

SLEEPS = "SELECT pg_sleep(30)::text AS slept"
LONG = "SELECT n, repeat('x', 100) AS text FROM generate_series(1, 30000) AS n"
# Not generate_series, because PostgreSQL makes all its rows before it sends the first one.
SLOW_ROWS = """WITH RECURSIVE slow AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM slow WHERE n < 1000)
    SELECT n, pg_sleep(0.03)::text AS slept FROM slow"""


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service():
    """Serve these reports; return the server's URL and a connection to its database."""
    with new_folder() as folder:
        for name, sql in (("sleeps", SLEEPS), ("long", LONG), ("slow_rows", SLOW_ROWS)):
            (folder / f"{name}.sql").write_text(
                f'/*\ntitle = "Probe"\ndescription = "Probe."\ndepends_on = ["sales"]\n*/\n{sql}'
            )
        extra = {"SQL_DIR": str(folder)}
        with serve(folder, **extra) as url, connect_database(folder) as database:
            yield url, database


def wait_for(database, query, expected, seconds=60):
    """Wait until the query returns this value. Fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while (row := database.execute(query).fetchone()) != (expected,):
        assert time.monotonic() < deadline, row
        time.sleep(0.05)


RUNNING = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'salesengine report %' AND state <> 'idle'"
OUTCOME = "SELECT outcome FROM report_runs ORDER BY id DESC LIMIT 1"


@pytest.mark.parametrize("name", ["sleeps", "slow_rows"])
def test_a_disconnect_cancels_the_query(service, name):
    url, database = service
    with closing(http.client.HTTPConnection(urlsplit(url).netloc)) as client:
        client.request("GET", f"/reports/{name}?limit=1000")
        wait_for(database, RUNNING, 1)

    wait_for(database, RUNNING, 0)
    wait_for(database, OUTCOME, "cancelled")


def test_a_large_response_is_complete(service):
    response = httpx.get(f"{service[0]}/reports/long?format=csv&limit=30000", timeout=30)

    assert response.headers["Report-Truncated"] == "false"
    assert len(response.content) == int(response.headers["Content-Length"])
    assert response.content.count(b"\n") == 30_001


def test_a_connection_stays_usable_after_304_and_head(service):
    url = f"{service[0]}/reports/long?format=csv&limit=5"
    with httpx.Client() as client:
        first = client.get(url)
        known = client.get(url, headers={"If-None-Match": first.headers["ETag"]})
        head = client.head(url)
        again = client.get(url)

    assert [each.status_code for each in (first, known, head, again)] == [200, 304, 200, 200]
    assert (known.content, head.content) == (b"", b"")
    assert first.content == again.content
    for each in (known, head):
        assert not {"content-length", "transfer-encoding"} & {*each.headers}
