"""The service keeps working when its database connections or its database die."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from salesengine.tests.servers import connect_database

pytestmark = pytest.mark.slow


@pytest.fixture
def connection(server, server_dir):
    with connect_database(server_dir) as connection:
        yield connection


def post(server, event):
    return httpx.post(f"{server}/ingest", json=event | {"CATEGORY": "high-tech"}, timeout=60).status_code


def count_stored(server):
    rows = httpx.get(f"{server}/feedback", params={"category": "high-tech"}, timeout=60).json()
    return rows[0]["sales_count"] if rows else 0


def test_dead_connections_are_replaced(server, event, connection):
    with ThreadPoolExecutor(32) as clients:  # fills the connection pools
        list(clients.map(lambda _: post(server, event), range(200)))
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    start = time.monotonic()
    statuses = [post(server, event) for _ in range(40)]

    assert statuses.count(503) <= 8, "a few, not one for each of up to 32 connections"
    assert statuses.count(201) == 40 - statuses.count(503)
    assert time.monotonic() - start < 30


def test_a_killed_database_is_restarted_and_still_has_every_sale(server, server_dir, event):
    before = count_stored(server)
    accepted = sum(post(server, event) == 201 for _ in range(50))
    os.kill(int((server_dir / "postgres" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)

    statuses = []
    deadline = time.monotonic() + 60
    while statuses[-10:] != [201] * 10 and time.monotonic() < deadline:
        statuses.append(post(server, event))

    assert set(statuses) <= {201, 503}
    assert statuses[-10:] == [201] * 10
    assert count_stored(server) == before + accepted + statuses.count(201)


def test_the_process_is_alive_for_its_supervisor_while_all_threads_wait_for_the_database(server, event, connection):
    with ThreadPoolExecutor(64) as clients, httpx.Client(timeout=60) as probe:
        with connection.transaction():
            connection.execute("LOCK TABLE sales")
            waiting = [clients.submit(post, server, event) for _ in range(64)]
            time.sleep(1)  # until they occupy the threads
            start = time.monotonic()

            statuses = [probe.get(f"{server}/healthz").status_code for _ in range(2)]  # on one connection
            seconds = time.monotonic() - start
        assert {future.result() for future in waiting} <= {201, 503}

    assert statuses == [200, 200]
    assert seconds < 3  # the threads wait for 5 seconds
