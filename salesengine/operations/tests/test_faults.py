"""The service keeps working when its database connections or its database die, or when clients stall."""

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from salesengine.tests.servers import connect_database

pytestmark = pytest.mark.slow
LARGE_FILE = b"/static/drf_spectacular_sidecar/redoc/bundles/redoc.standalone.js"  # a megabyte


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


def test_clients_that_stall_within_a_request_do_not_block_others(server):
    partial_request = (
        b"POST /ingest HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    stalled = [socket.create_connection(("127.0.0.1", urlsplit(server).port)) for _ in range(40)]
    try:
        for connection in stalled:
            connection.sendall(partial_request)

        assert httpx.get(f"{server}/healthz", timeout=60).status_code == 200
    finally:
        for connection in stalled:
            connection.close()


def test_the_process_is_alive_for_its_supervisor_while_all_threads_are_busy(start_server):
    url = start_server(WEB_CONCURRENCY="1", WEB_THREADS="1")
    unfinished = (
        b"POST /ingest HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n",
    )
    stalled = [socket.create_connection(("127.0.0.1", urlsplit(url).port)) for _ in unfinished]
    try:
        for connection, part in zip(stalled, unfinished, strict=True):
            connection.sendall(part)
        time.sleep(0.5)  # until they have reached the thread
        start = time.monotonic()

        with httpx.Client() as client:
            for _ in range(2):  # on one connection
                assert client.get(f"{url}/healthz", timeout=60).status_code == 200
        assert time.monotonic() - start < 5  # the thread waits for 10 s for each of them
    finally:
        for connection in stalled:
            connection.close()


def test_clients_that_read_nothing_do_not_block_others_for_long(start_server):
    url = start_server(WEB_CONCURRENCY="1", WEB_THREADS="4")
    address = ("127.0.0.1", urlsplit(url).port)
    stalled = [socket.socket() for _ in range(5)]
    try:
        for connection in stalled:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)  # small buffers, as on a network
            connection.connect(address)
            connection.sendall(b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % LARGE_FILE)
        time.sleep(1)

        assert httpx.get(f"{url}/healthz", timeout=60).status_code == 200
    finally:
        for connection in stalled:
            connection.close()


def test_clients_that_connect_and_send_nothing_do_not_block_others(server):
    idle = [socket.create_connection(("127.0.0.1", urlsplit(server).port)) for _ in range(300)]
    try:
        start = time.monotonic()
        statuses = [httpx.get(f"{server}/healthz", timeout=60).status_code for _ in range(10)]

        assert statuses == [200] * 10
        assert time.monotonic() - start < 10  # it was over a minute when idle connections occupied the threads
    finally:
        for connection in idle:
            connection.close()


def test_a_client_may_send_its_request_a_while_after_it_connects(server):
    with socket.create_connection(("127.0.0.1", urlsplit(server).port), timeout=30) as connection:
        time.sleep(1)
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")

        assert connection.recv(12) == b"HTTP/1.1 200"
