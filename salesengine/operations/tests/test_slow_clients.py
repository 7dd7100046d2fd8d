"""Clients that stall do not delay others: they occupy connections, but no threads."""

import http.client
import json
import resource
import socket
import time
from contextlib import ExitStack
from statistics import median
from urllib.parse import urlsplit

import httpx
import pytest

from salesengine.operations.tests.helpers import Workers, count_clients

LARGE_FILE = b"/static/drf_spectacular_sidecar/redoc/bundles/redoc.standalone.js"  # a megabyte
GET = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
POST = b"POST /ingest HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
# The number of clients, and what each of them sends before it stalls.
STALLED = {
    "idle": (300, b""),
    "within headers": (100, GET + b"Accept: "),
    "within bodies": (100, POST + b"Content-Length: 100000\r\n\r\n["),
    "within chunks": (100, POST + b"Transfer-Encoding: chunked\r\n\r\n186a0\r\n["),
    "without reading": (40, b"GET " + LARGE_FILE + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
    "without closing": (100, GET + b"Connection: close\r\n\r\n"),
}


def connect(address):
    """Connect with small buffers, as on a network."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    connection.settimeout(60)
    connection.connect(address)
    return connection


@pytest.fixture
def address(server):
    return "127.0.0.1", urlsplit(server).port


@pytest.mark.parametrize("kinds", [*([kind] for kind in STALLED), list(STALLED)], ids=[*STALLED, "all"])
def test_stalled_clients_do_not_delay_others(server, address, event, kinds):
    with ExitStack() as clients:
        for number, sent in map(STALLED.get, kinds):
            for _ in range(number):
                clients.enter_context(connect(address)).sendall(sent)
        seconds = []
        for _ in range(5):
            start = time.monotonic()
            health = httpx.get(f"{server}/healthz", timeout=60)
            stored = httpx.post(f"{server}/ingest", json=event | {"CATEGORY": "girls"}, timeout=60)
            seconds.append((time.monotonic() - start) / 2)
            assert (health.status_code, stored.status_code) == (200, 201)

    assert median(seconds) < 5  # each kind could occupy all threads for 10 seconds and more


def test_clients_that_keep_their_connections_are_spread_over_the_workers(start_server):
    url = start_server(WEB_CONCURRENCY="2")
    with ExitStack() as stack:
        for _ in range(60):
            client = stack.enter_context(connect(("127.0.0.1", urlsplit(url).port)))
            client.sendall(GET + b"\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"
        numbers = [count_clients(pid) for pid in Workers(url).pids()]

    assert sum(numbers) == 60
    assert min(numbers) >= 10, numbers  # on a busy machine, one worker may be slow to accept its share


def test_a_low_limit_of_open_files_is_raised(start_server):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        url = start_server(WEB_CONCURRENCY="1")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(("127.0.0.1", urlsplit(url).port))) for _ in range(300)]
        assert httpx.get(f"{url}/healthz", timeout=60).status_code == 200
        clients[0].setblocking(False)
        with pytest.raises(BlockingIOError):  # it is still open, so its worker has not died
            clients[0].recv(1)


def test_a_client_may_send_its_request_a_while_after_it_connects(address):
    with connect(address) as connection:
        time.sleep(1)
        connection.sendall(GET + b"\r\n")

        assert connection.recv(12) == b"HTTP/1.1 200"


def test_a_request_may_arrive_slowly_and_be_followed_by_others(address, event):
    body = json.dumps(event | {"CATEGORY": "girls"}).encode()
    request = POST + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    with connect(address) as connection:
        for position in range(0, len(request), 40):
            connection.sendall(request[position : position + 40])
            time.sleep(0.01)
        connection.sendall(request + request)
        received = b""
        while received.count(b"HTTP/1.1 201 ") < 3:
            data = connection.recv(4_096)
            assert data, received
            received += data


def test_a_large_file_reaches_a_client_that_reads_slowly(server, address):
    whole = httpx.get(f"{server}{LARGE_FILE.decode()}", headers={"Accept-Encoding": "identity"}).content
    with connect(address) as connection:
        connection.sendall(b"GET " + LARGE_FILE + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        time.sleep(0.5)
        response = http.client.HTTPResponse(connection)
        response.begin()

        assert response.read() == whole
