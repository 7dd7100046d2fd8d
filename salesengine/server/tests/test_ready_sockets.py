"""Each socket that is ready wakes one thread, once."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import pytest

from salesengine.server.ready_sockets import ReadySockets


@pytest.fixture
def pair():
    left, right = socket.socketpair()
    with closing(left), closing(right):
        yield left, right


def test_a_socket_that_is_ready_is_reported_once_until_it_is_watched_again(pair):
    client, service = pair
    ready = ReadySockets()
    ready.watch(service.fileno())
    assert ready.wait(0) == []

    client.sendall(b"request")
    assert ready.wait(0, most=9) == [service.fileno()]
    assert ready.wait(0) == []

    ready.watch(service.fileno())
    assert ready.wait(0) == [service.fileno()]


def test_a_full_socket_is_reported_when_its_client_reads(pair):
    client, service = pair
    service.setblocking(False)
    with suppress(BlockingIOError):
        while service.send(b" " * 65_536):
            pass
    ready = ReadySockets()
    ready.watch(service.fileno(), until_writable=True)
    assert ready.wait(0) == []

    while not (found := ready.wait(0)):
        client.recv(65_536)
    assert found == [service.fileno()]


def test_all_threads_that_wait_can_be_woken():
    ready = ReadySockets()
    with ThreadPoolExecutor(4) as threads:
        waits = [threads.submit(ready.wait) for _ in range(4)]
        ready.wake_all()

        assert all(wait.result(timeout=30) for wait in waits)
