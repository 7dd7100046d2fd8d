"""Requests do not wait for long for what others do in the database, and nothing that they store is lost by a crash."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from salesengine.embedded import server as embedded
from salesengine.operations.tests.helpers import server_setting
from salesengine.tests.proxy import serve_through_proxy
from salesengine.tests.servers import connect_database, manage, serve

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(folder):
    with serve(folder, LOCK_TIMEOUT="1", STATEMENT_TIMEOUT="2") as address:
        yield address


@pytest.fixture
def database(folder, address):
    with connect_database(folder) as database:
        yield database


def post(address, body, **headers):
    return httpx.post(f"{address}/ingest", json=body, headers=headers, timeout=60)


def test_requests_that_wait_for_a_lock_get_503_and_store_nothing(address, database, event):
    bodies = [event, [event], [event] * 300, event | {"EVENT_ID": "locked"}]
    with database.transaction(), ThreadPoolExecutor(len(bodies) + 1) as clients:
        database.execute("LOCK TABLE sales IN ACCESS EXCLUSIVE MODE")
        start = time.monotonic()
        waiting = [clients.submit(post, address, body) for body in bodies]
        waiting.append(clients.submit(post, address, [event], **{"Idempotency-Key": "locked"}))
        responses = [response.result() for response in waiting]
        seconds = time.monotonic() - start

    assert [response.status_code for response in responses] == [503] * 5
    assert {response.json()["type"] for response in responses} == {"/docs/problems#database-unavailable"}
    assert {response.headers["Retry-After"] for response in responses} == {"5"}
    assert seconds < 20
    assert database.execute("SELECT count(*) FROM sales").fetchone() == (0,)


def test_statements_that_take_too_long_get_503(address, database, event):
    database.execute(
        "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(30); RETURN NEW; END'"
    )
    database.execute("CREATE TRIGGER slowly BEFORE INSERT ON sales EXECUTE FUNCTION slowly()")
    try:
        start = time.monotonic()
        assert post(address, event).status_code == post(address, [event]).status_code == 503
        assert time.monotonic() - start < 25  # of the 60 that both inserts would take
    finally:
        database.execute("DROP FUNCTION slowly CASCADE")
    assert post(address, event).status_code == 201


def test_the_event_ids_of_a_vanished_client_are_free_again_soon(folder, address, event):
    sale = event | {"EVENT_ID": "vanished", "ID_ORDER": "vanished"}
    with serve_through_proxy(embedded.socket_dir(folder)) as (other, proxy), ThreadPoolExecutor(1) as client:
        proxy.silence_after(b"INSERT INTO event_ids")
        vanished = client.submit(post, other, sale)
        start = time.monotonic()
        statuses = [503]
        while statuses[-1] == 503 and time.monotonic() - start < 60:
            time.sleep(0.5)
            statuses.append(post(address, sale).status_code)

        assert statuses.count(503) > 1, "the claim should block others for a while"
        assert statuses[-1] == 201
        assert time.monotonic() - start < 45
        assert vanished.result().status_code == 503


def test_any_date_style_of_the_server_will_do(folder, address, event):
    with server_setting(folder, "datestyle", "'SQL, DMY'"), serve(folder) as own_address:
        assert post(own_address, event | {"ID_ORDER": "dated"}).status_code == 201
        assert httpx.get(f"{own_address}/sales/dated").json()["results"][0]["ID_ORDER"] == "dated"
        assert httpx.get(f"{own_address}/reports/sales", timeout=30).status_code == 200
        manage(folder, "verify_feedback")
