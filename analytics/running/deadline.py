"""End a run at its deadline from outside the SQL, which can lift the timeouts that PostgreSQL keeps."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from threading import TIMEOUT_MAX, Event, Thread
from typing import Any

import psycopg
from django.db import connections

GRACE = 2  # seconds that PostgreSQL has to end a run at its own timeouts, and then to answer a cancellation


@contextmanager
def client_deadline(alias: str, seconds: float) -> Iterator[None]:
    """Cancel what runs on this connection after `seconds` and GRACE. Break the connection if PostgreSQL hangs."""
    connections[alias].ensure_connection()
    with watched(partial(_end_when_late, connections[alias].connection, seconds + GRACE)):
        yield


@contextmanager
def watched(watch: Callable[[Event], None]) -> Iterator[None]:
    """Run `watch` in a thread beside the block. It must return soon after its event, the end of the block."""
    has_ended = Event()
    watcher = Thread(target=watch, args=[has_ended], daemon=True)
    watcher.start()
    try:
        yield
    finally:
        has_ended.set()
        watcher.join()


def _end_when_late(connection: psycopg.Connection[Any], seconds: float, has_ended: Event) -> None:
    if has_ended.wait(min(seconds, TIMEOUT_MAX)):
        return
    with suppress(psycopg.Error):  # PostgreSQL hangs, or is gone
        connection.cancel_safe(timeout=GRACE)
    # Closing the connection would not wake the thread that waits for it.
    if not has_ended.wait(GRACE):
        with suppress(psycopg.Error), socket.socket(fileno=socket.dup(connection.fileno())) as copy:
            copy.shutdown(socket.SHUT_RDWR)
