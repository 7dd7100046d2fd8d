"""Requests are received piece by piece, and responses are sent as fast as their clients read them."""

import socket
import tempfile
import time
from contextlib import closing
from types import SimpleNamespace

import pytest

from salesengine.server import connections
from salesengine.server.connections import (
    BODY_SECONDS,
    HEADER_SECONDS,
    LOWEST_RATE,
    MAX_FRAMING,
    MAX_KEPT,
    SMALL,
    ClientSocket,
    ReceivedRequest,
)

HEAD = b"POST /ingest HTTP/1.1\r\nHost: shop\r\n"
LENGTH = HEAD + b"content-length: 4\r\n\r\n[{}]"
CHUNKED = HEAD + b"Transfer-Encoding: gzip, Chunked\r\n\r\n"
COMPLETE = {
    "no body": b"GET /healthz HTTP/1.1\r\nHost: shop\r\n\r\n",
    "content length": LENGTH,
    "chunks": CHUNKED + b"2\r\n[{\r\n00002;name=value\r\n}]\r\n0\r\n\r\n",
    "a chunk of line breaks": CHUNKED + b"6\r\n\r\n\r\n\r\n\r\n0\r\n\r\n",
    "no chunk": CHUNKED + b"0\r\n\r\n",
    "trailers": CHUNKED + b"4\r\n[{}]\r\n0\r\nDigest: 5\r\nAge: 0\r\n\r\n",
}


@pytest.fixture
def pair():
    """Return the client's and the service's end of a connection."""
    client, accepted = socket.socketpair()
    with closing(client), closing(ClientSocket(accepted)) as service:
        client.settimeout(5)
        yield client, service


def read_all(request):
    return b"".join(iter(request.chunk, b""))


@pytest.mark.parametrize("sent", COMPLETE.values(), ids=COMPLETE)
def test_a_request_is_complete_with_its_last_byte_and_not_before(pair, sent):
    client, service = pair
    request = ReceivedRequest()
    complete = []
    for byte in sent:
        client.sendall(bytes([byte]))
        complete.append(request.receive(service))

    assert complete == [False] * (len(sent) - 1) + [True]
    assert not request.is_cut
    assert read_all(request) == sent


def test_the_beginning_of_the_next_request_is_kept(pair):
    client, service = pair
    request = ReceivedRequest()
    client.sendall(LENGTH + LENGTH + HEAD)
    complete = []
    for _ in range(3):
        complete.append(request.receive(service))
        if complete[-1]:
            request.unread(request.chunk()[len(LENGTH) :])  # as the parser does
            request.finish()

    assert complete == [True, True, False]
    assert request.has_begun


@pytest.mark.parametrize(
    ("length", "answer"), [(b"4", b"HTTP/1.1 100 Continue\r\n\r\n"), (b"0", b""), (b"99999999", b"")]
)
def test_a_client_that_waits_for_permission_to_send_its_body_gets_it(pair, length, answer):
    client, service = pair
    request = ReceivedRequest()
    client.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: " + length + b"\r\n\r\n")

    assert request.receive(service) == (not answer)
    service.shutdown(socket.SHUT_WR)
    assert client.recv(100) == answer


def test_a_client_of_http_1_0_does_not_wait_for_permission(pair):
    client, service = pair
    request = ReceivedRequest()
    client.sendall(HEAD.replace(b"1.1", b"1.0") + b"Expect: 100-continue\r\nX: HTTP/1.1\r\nContent-Length: 4\r\n\r\n")

    assert not request.receive(service)
    service.shutdown(socket.SHUT_WR)
    assert client.recv(100) == b""


def test_headers_that_repeat_the_request_line_take_linear_time(pair):
    client, service = pair
    sent = HEAD + b"Content-Length: 5\r\n" + b" HTTP/1.1\r\n" * 9_900 + b"\r\n"
    client.sendall(sent)  # all of it before the first recv: headers of this size that come in parts are cut short
    request = ReceivedRequest()
    before = time.thread_time()
    while request.deadline - time.monotonic() < HEADER_SECONDS:  # the headers are not complete
        assert not request.receive(service)

    assert time.thread_time() - before < 0.5, "seconds"
    request.finish()


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"Content-Length: 99999999\r\n\r\n",
        HEAD + b"X: " + b"x" * SMALL,
        CHUNKED + b"fffff\r\n" + b" " * 1_048_575 + b"\r\n" + b"fffff\r\n" + b" " * 1_000_000,
        CHUNKED + b"1;" + b"x" * 1_100_000,
        CHUNKED + b"1\r\n \r\n" * (MAX_FRAMING // 5),
    ],
    ids=["length", "headers", "chunks", "chunk line", "small chunks"],
)
def test_a_request_that_is_too_large_is_not_received_to_its_end(pair, sent, settings):
    settings.INGEST_MAX_BYTES = 1_500_000
    client, service = pair
    request = ReceivedRequest()
    client.setblocking(False)
    is_complete, position = False, 0
    while position < len(sent) and not is_complete:
        position += client.send(sent[position:])
        is_complete = request.receive(service)
    request.finish()

    assert is_complete


def test_large_requests_beyond_the_limit_are_refused_and_small_ones_are_not(pair, settings):
    settings.INGEST_MAX_BYTES_AT_ONCE = 150_000
    client, service = pair
    large = HEAD + b"Content-Length: 900000\r\n\r\n" + b" " * 100_000
    first, second, small = ReceivedRequest(), ReceivedRequest(), ReceivedRequest()
    client.sendall(large)
    assert not first.receive(service)
    client.sendall(large)
    assert second.receive(service)
    assert (second.was_refused, second.is_cut) == (True, True)
    second.finish()
    while True:  # what is left of the refused request
        try:
            service.recv(SMALL)
        except BlockingIOError:
            break
    client.sendall(LENGTH)
    assert small.receive(service)
    first.finish()
    client.sendall(large)

    assert not second.receive(service)
    second.finish()


def test_a_large_request_has_more_time_but_may_not_pause(pair, monkeypatch):
    client, service = pair
    now = 1_000
    monkeypatch.setattr(connections, "time", SimpleNamespace(monotonic=lambda: now))
    request = ReceivedRequest()
    client.sendall(HEAD)
    request.receive(service)
    assert request.deadline == now + connections.HEADER_SECONDS

    client.sendall(b"Content-Length: 900000\r\n\r\n" + b" " * 2 * LOWEST_RATE)
    now += 1
    request.receive(service)
    assert request.deadline == now + BODY_SECONDS, "it is ahead of the lowest rate"
    now += 20
    client.sendall(b" ")
    request.receive(service)
    assert request.deadline == pytest.approx(1_000 + 2 + BODY_SECONDS, abs=0.1), "it is behind the lowest rate"
    request.finish()


def test_a_response_is_sent_while_its_client_reads(pair):
    client, service = pair
    piece = bytes(range(256)) * 3_000
    with tempfile.TemporaryFile() as file:
        file.write(piece * 2)
        service.sendall(b"<" + piece)
        service.sendfile(file, offset=len(piece), count=len(piece))
        service.sendall(b">")
    received = b""
    while service.has_kept:
        received += client.recv(1_000_000)
        service.flush()
    service.shutdown(socket.SHUT_WR)
    while data := client.recv(1_000_000):
        received += data

    assert received == b"<" + piece + piece + b">"


def test_the_headers_of_a_response_are_sent_together_with_its_first_piece(pair):
    client, service = pair
    client.setblocking(False)
    service.hold_headers()
    service.sendall(b"headers")
    with pytest.raises(BlockingIOError):
        client.recv(100)
    service.sendall(b", body")
    assert client.recv(100) == b"headers, body"

    service.hold_headers()
    service.sendall(b"headers only")
    service.flush()
    assert client.recv(100) == b"headers only"


def test_a_response_in_pieces_does_not_fill_the_memory_while_its_client_stalls(pair, monkeypatch):
    monkeypatch.setattr(connections, "WRITE_SECONDS", 0.01)
    _, service = pair
    sent = []

    def respond():
        for _ in range(1_000):
            service.sendall(b" " * 100_000)
            sent.append(100_000)

    with pytest.raises(BrokenPipeError):
        respond()
    assert sum(sent) < 2 * MAX_KEPT
