"""Ends a run when nobody waits for its answer any more: the tab was closed, or the program gave up."""

import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from django.db import connections
from django.http import HttpRequest

from analytics.running.run_log import Watch, cancel
from analytics.running.runner import ALIAS

INTERVAL = 0.5  # seconds between looks


def watch_client(request: HttpRequest) -> Watch:
    """Watches the request's connection while a run goes on, and cancels the run when the client has closed it.

    Gunicorn hands the connection on; other servers do not, and there a run goes on to its end.
    """
    client = getattr(request, "META", {}).get("gunicorn.socket")

    @contextmanager
    def watch(token: uuid.UUID) -> Iterator[None]:
        if not isinstance(client, socket.socket):
            yield
            return
        over = Event()
        watcher = Thread(target=_cancel_when_closed, args=(client, token, over), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    return watch


def _cancel_when_closed(client: socket.socket, token: uuid.UUID, over: Event) -> None:
    """Cancels again and again until the run is over: it may have been between two of its queries."""
    try:
        while not over.wait(INTERVAL):
            if _is_closed(client):
                cancel(token)
    finally:
        connections[ALIAS].close()


def _is_closed(client: socket.socket) -> bool:
    """Whether the other side has closed the connection; bytes that wait there are its next request."""
    try:
        return client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:  # open, and silent
        return False
    except OSError:
        return True
