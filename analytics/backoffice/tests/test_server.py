"""A real server cancels the query when the browser disconnects."""

import re
import time
from uuid import uuid4

import httpx
import pytest

from salesengine.tests.servers import PASSWORD, connect_database, new_folder, serve

NAPPING = """SELECT EXISTS (
    SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()
)"""
OUTCOMES = "SELECT format, outcome FROM report_runs"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service():
    """Return a logged-in client and the server's database."""
    with new_folder() as folder:
        (folder / "probe.sql").write_text('/*\ntitle = "Nap"\ndescription = "Sleeps."\n*/\nSELECT pg_sleep(60)\n')
        with (
            serve(folder, SQL_DIR=str(folder)) as url,
            httpx.Client(base_url=url) as client,
            connect_database(folder) as database,
        ):
            form = re.search('csrfmiddlewaretoken" value="([^"]+)"', client.get("/admin/login/").text)[1]
            filled = {"username": "admin", "password": PASSWORD, "csrfmiddlewaretoken": form}
            assert client.post("/admin/login/", data=filled).status_code == 302
            yield client, database


@pytest.mark.parametrize("path", ["probe/result/", "probe.csv", "probe/"])
def test_a_closed_connection_cancels_the_query(service, path):
    client, database = service
    database.execute("DELETE FROM report_runs")
    query = {"run": "whole" if path == "probe/" else str(uuid4())}

    with pytest.raises(httpx.ReadTimeout):
        client.get(f"/admin/analytics/report/{path}", params=query, timeout=4)  # then it disconnects

    expected = [("csv" if path.endswith("csv") else "page", "cancelled")]
    deadline = time.monotonic() + 60
    while (outcomes := database.execute(OUTCOMES).fetchall()) != expected:
        assert time.monotonic() < deadline, outcomes
        time.sleep(0.1)
    assert not database.execute(NAPPING).fetchone()[0]
