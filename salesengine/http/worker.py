"""The worker of gunicorn: its threads only work on requests that have arrived completely.

Its main loop waits for slow clients: for the rest of a request, for a client to take the rest of a response, and for a
client to close the connection.
"""

import re
import selectors
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from gunicorn.http import get_parser
from gunicorn.http.message import Request
from gunicorn.workers.gthread import TConn, ThreadWorker

from salesengine.http.connections import LARGEST_PIECE, WRITE_SECONDS, ClientSocket, ReceivedRequest

LINGER_SECONDS = 2  # that a client has to close a connection that the service has ended
CHECK_SECONDS = 0.5  # between two looks at the deadlines
INCOMPLETE = object()  # what `handle` returns for a request that has not arrived completely
# A complete health check without a body.
PROBE = re.compile(
    rb"(?:GET|HEAD) /healthz HTTP/1\.[01]\r\n(?:(?!content-length|transfer-encoding)[^\r\n]+\r\n)*\r\n", re.IGNORECASE
)


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Give a request to a thread when bytes of it arrive; the thread returns it unless it is complete.

    Health checks have a thread of their own. While all others wait for the database, a supervisor would take the
    process for dead.
    """

    next_check = 0.0

    def init_process(self) -> None:
        self.probe_pool = ThreadPoolExecutor(max_workers=1)
        super().init_process()

    def enqueue_req(self, conn: TConn) -> None:
        """Give a connection to a thread, or, if it is new, wait for its first bytes."""
        if conn.initialized and is_probe(conn):
            handled = self.probe_pool.submit(self.handle, conn)
            handled.add_done_callback(lambda future: self.method_queue.defer(self.finish_request, conn, future))
            return
        if conn.initialized:
            super().enqueue_req(conn)
            return
        conn.initialized = True
        conn.sock = ClientSocket(conn.sock)
        conn.parser = get_parser(self.cfg, conn.sock, conn.client)
        conn.parser.unreader = ReceivedRequest()
        self.receive_more(conn)

    def handle(self, conn: TConn) -> object:
        """Receive what has arrived, and respond to a complete request. Runs in a thread.

        Return INCOMPLETE, or whether the connection can be used again.
        """
        request: ReceivedRequest = conn.parser.unreader
        try:
            if not request.receive(conn.sock):
                return INCOMPLETE
            may_stay_open = super().handle(conn) and not request.is_cut
        except OSError:  # the client has gone
            may_stay_open = False
        request.finish()
        return may_stay_open

    def finish_request(self, conn: TConn, fs: Future[object]) -> None:
        """Decide how a connection goes on, after a thread has worked on it."""
        result = False if fs.cancelled() or fs.exception() else fs.result()
        if conn.sock.has_kept:
            self.wait(conn, selectors.EVENT_WRITE, WRITE_SECONDS, partial(self.send_rest, conn, fs))
        elif result is INCOMPLETE:
            self.receive_more(conn)
        elif result and conn.parser.unreader.has_begun:
            self.enqueue_req(conn)
        elif result:
            super().finish_request(conn, fs)
        else:
            self.linger(conn, time.monotonic() + LINGER_SECONDS)

    def receive_more(self, conn: TConn) -> None:
        seconds = conn.parser.unreader.deadline - time.monotonic()
        self.wait(conn, selectors.EVENT_READ, seconds, partial(self.enqueue_req, conn))
        conn.on_deadline = partial(self.cut_short, conn)

    def cut_short(self, conn: TConn) -> None:
        """Let the application say that a request ended early."""
        if not conn.parser.unreader.has_begun:
            self.drop(conn)
            return
        conn.parser.unreader.is_cut = True
        self.enqueue_req(conn)

    def send_rest(self, conn: TConn, fs: Future[object]) -> None:
        try:
            conn.sock.flush()
        except OSError:
            self.drop(conn)
        else:
            self.finish_request(conn, fs)

    def linger(self, conn: TConn, until: float) -> None:
        """Wait until the client closes the connection, because closing it first could destroy the response.

        See RFC 9112, 9.6. gunicorn would wait in its main loop, and so for one client at a time.
        """
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            has_ended = not conn.sock.recv(LARGEST_PIECE)
        except BlockingIOError:
            has_ended = False
        except OSError:
            has_ended = True
        if has_ended:
            self.drop(conn)
        else:
            self.wait(conn, selectors.EVENT_READ, until - time.monotonic(), partial(self.linger, conn, until))

    def wait(self, conn: TConn, event: int, seconds: float, then: Callable[[], None]) -> None:
        """Call `then` when the client is ready. Drop the connection if it is not ready within `seconds`."""
        conn.timeout = time.monotonic() + seconds
        conn.on_deadline = partial(self.drop, conn)
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, event, partial(self.go_on, conn, then))

    def go_on(self, conn: TConn, then: Callable[[], None], client: ClientSocket) -> None:
        self.pending_conns.remove(conn)
        self.poller.unregister(client)
        then()

    def drop(self, conn: TConn) -> None:
        self.nr_conns -= 1
        conn.parser.unreader.finish()
        conn.close()

    def murder_pending(self) -> None:
        """End the waiting of connections whose time is up. gunicorn calls this in each turn of the main loop."""
        now = time.monotonic()
        if now < self.next_check:
            return
        self.next_check = now + CHECK_SECONDS
        for conn in [conn for conn in self.pending_conns if conn.timeout <= now]:
            self.go_on(conn, conn.on_deadline, conn.sock)


def is_probe(conn: TConn) -> bool:
    """Return whether the next request on a connection is a PROBE, without taking it."""
    if conn.parser.unreader.has_begun:
        return False
    with suppress(OSError):  # nothing has arrived
        return PROBE.fullmatch(conn.sock.recv(4_096, socket.MSG_PEEK)) is not None
    return False


def pre_request(worker: Worker, request: Request) -> None:
    """Adapt gunicorn's view of a request: a hook of its configuration."""
    request._expected_100_continue = False  # the body has arrived
    if request.unreader.is_cut:
        request.force_close()
    # Let the application announce that the connection closes: salesengine.http.middleware.UnreadBodyMiddleware.
    request.body.force_close = request.force_close
    # What sales.ingest.bodies needs to know.
    request.body.was_refused, request.body.share = request.unreader.was_refused, request.unreader.share
