"""Cancel a run whose client has closed its connection."""

import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from threading import Event

from django.db import connections
from django.http import HttpRequest

from analytics.running.deadline import watched
from analytics.running.query import DATABASE_ALIAS
from analytics.running.run_log import RunWatcher, cancel_run

INTERVAL = 0.5  # seconds


def cancel_on_disconnect(request: HttpRequest) -> RunWatcher:
    """Return a watcher that cancels the run when the request's client closes the connection.

    This works under Gunicorn, which passes the socket on. Under other servers the run goes on to its end.
    """
    client = getattr(request, "META", {}).get("gunicorn.socket")

    @contextmanager
    def watch(token: uuid.UUID) -> Iterator[None]:
        if not isinstance(client, socket.socket):
            yield
            return
        with watched(partial(_cancel_when_closed, client, token)):
            yield

    return watch


def _cancel_when_closed(client: socket.socket, token: uuid.UUID, has_ended: Event) -> None:
    """Cancel until the run has ended: a first attempt may come before the run has its session."""
    try:
        while not has_ended.wait(INTERVAL):
            if _is_closed(client):
                cancel_run(token)
    finally:
        connections[DATABASE_ALIAS].close()


def _is_closed(client: socket.socket) -> bool:
    """Say whether the client has closed the connection. Waiting bytes are its next request."""
    try:
        return client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:  # open, and nothing to read
        return False
    except OSError:
        return True
