"""The service goes on when its database's connections or its database die."""

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


@pytest.fixture
def connection(server, server_dir):
    with connect_database(server_dir) as connection:
        yield connection


def post(server, event):
    return httpx.post(f"{server}/ingest", json=event | {"CATEGORY": "high-tech"}, timeout=60).status_code


def stored(server):
    rows = httpx.get(f"{server}/feedback", params={"category": "high-tech"}, timeout=60).json()
    return rows[0]["sales_count"] if rows else 0


def test_connections_that_died_are_replaced(server, event, connection):
    with ThreadPoolExecutor(32) as clients:  # so that the pools are full
        list(clients.map(lambda _: post(server, event), range(200)))
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    began = time.monotonic()
    answers = [post(server, event) for _ in range(40)]

    assert answers.count(503) <= 8, "a few, not one for each of up to 32 connections"
    assert answers.count(201) == 40 - answers.count(503)
    assert time.monotonic() - began < 10


def test_a_database_that_was_killed_is_started_again_and_has_every_sale(server, server_dir, event):
    before = stored(server)
    accepted = sum(post(server, event) == 201 for _ in range(50))
    os.kill(int((server_dir / "postgres" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)

    answers = []
    deadline = time.monotonic() + 60
    while answers[-10:] != [201] * 10 and time.monotonic() < deadline:
        answers.append(post(server, event))

    assert set(answers) <= {201, 503}
    assert answers[-10:] == [201] * 10
    assert stored(server) == before + accepted + answers.count(201)


def test_clients_that_stop_in_mid_request_do_not_keep_the_others_out(server):
    half = b"POST /ingest HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    stalled = [socket.create_connection(("127.0.0.1", urlsplit(server).port)) for _ in range(40)]
    try:
        for connection in stalled:
            connection.sendall(half)

        assert httpx.get(f"{server}/healthz", timeout=40).status_code == 200
    finally:
        for connection in stalled:
            connection.close()
