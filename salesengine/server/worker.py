"""The worker of gunicorn: its threads only work on requests that have arrived completely.

All threads wait for all connections in the kernel, which wakes one thread for each connection that is ready. No thread
waits for a slow client: for the rest of a request, for a client to take the rest of a response, or for a client to
close the connection.

The life of a connection. Each name is a method of the worker:

    accept -> receive_more -> respond -> finish -> respond (to the next request), or linger -> drop
    The client sends slowly:  receive_more -> cut_short -> respond (to what has arrived), or drop
    The client reads slowly:  finish -> send_rest -> finish
"""

import errno
import mmap
import re
import socket
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial
from types import FrameType

from gunicorn.arbiter import Arbiter
from gunicorn.http import get_parser
from gunicorn.http.message import Request
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from salesengine.server.connections import LARGEST_PIECE, WRITE_SECONDS, ClientSocket, ReceivedRequest
from salesengine.server.processors import Processors
from salesengine.server.ready_sockets import ReadySockets
from salesengine.server.worker_state import is_stopping

LINGER_SECONDS = 2  # that a client has to close a connection that the service has ended
CHECK_SECONDS = 0.5  # between two looks at the deadlines
PROBE_SECONDS = 0.2  # between two looks for health checks
# Seconds that a worker leaves a new connection to others, for each connection that it has more than another; at most.
ACCEPT_DELAY, LONGEST_DELAY = 0.001, 0.02
# The number of connections of each worker, by place, as all processes see it. The memory exists before they fork.
NO_WORKER = -1
PLACES = 256
loads = memoryview(mmap.mmap(-1, PLACES * 4)).cast("i")
loads[:] = memoryview(bytes([0xFF] * PLACES * 4)).cast("i")
# A complete health check without a body.
PROBE = re.compile(
    rb"(?:GET|HEAD) /healthz HTTP/1\.[01]\r\n(?:(?!content-length|transfer-encoding)[^\r\n]+\r\n)*\r\n", re.IGNORECASE
)


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Let each thread receive a request, respond, and then wait for any connection.

    A connection is in `waiting` unless a thread works on it. The thread that takes it out owns it. The main thread
    accepts connections and ends those whose time is up. While all others are busy, it answers health checks: if they
    had to wait too, a supervisor would take the process for dead.
    """

    next_check = 0.0
    has_ended = False
    place = 0  # in `loads`

    def init_process(self) -> None:
        self.ready = ReadySockets()
        self.waiting: dict[int, TConn] = {}  # by file descriptor
        self.connections: set[TConn] = set()
        self.keepalive = self.cfg.keepalive
        self.processors = Processors(self.place, self.cfg.workers)
        self.processors.stay()
        super().init_process()

    def run(self) -> None:
        for _ in range(self.cfg.threads):
            self.tpool.submit(self.serve)
        super().run()

    def serve(self) -> None:
        """Work on one connection after the other. Runs in each thread."""
        while not self.has_ended:
            for descriptor in self.ready.wait():
                if conn := self.waiting.pop(descriptor, None):
                    self.go_on(conn)

    def go_on(self, conn: TConn) -> None:
        try:
            conn.step(conn)
        except BaseException:  # even SystemExit of a view, which would end the thread
            self.log.exception("Cannot go on with a connection")
            self.drop(conn)

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection, unless another worker is faster. Be slower than workers with fewer connections.

        Clients keep their connections, so a worker that had most of them would work while the others wait.
        """
        ahead = self.nr_conns - min(load for load in loads if load != NO_WORKER)
        if ahead > self.nr_conns // 10:
            time.sleep(min(ahead * ACCEPT_DELAY, LONGEST_DELAY))
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno not in {errno.EAGAIN, errno.ECONNABORTED}:
                raise
            return  # another worker has accepted it
        conn = TConn(self.cfg, ClientSocket(client), address, listener.getsockname())
        conn.initialized = True
        conn.parser = get_parser(self.cfg, conn.sock, conn.client)
        conn.parser.unreader = ReceivedRequest()
        self.connections.add(conn)
        self.count_connections()
        self.receive_more(conn)

    def respond(self, conn: TConn) -> None:
        """Receive what has arrived, and respond if that is a complete request."""
        request: ReceivedRequest = conn.parser.unreader
        try:
            if not request.receive(conn.sock):
                self.receive_more(conn)
                return
            conn.sock.hold_headers()
            with self.processors.any() if request.is_large else nullcontext():
                may_stay_open = self.handle(conn) and not request.is_cut
            conn.sock.flush()
        except OSError:  # the client has gone
            may_stay_open = False
        request.finish()
        self.finish(conn, may_stay_open)

    def finish(self, conn: TConn, may_stay_open: bool) -> None:
        """Decide how a connection goes on after a response."""
        if conn.sock.has_kept:
            self.wait(conn, WRITE_SECONDS, partial(self.send_rest, may_stay_open), self.drop, until_writable=True)
        elif not may_stay_open:
            self.linger(time.monotonic() + LINGER_SECONDS, conn)
        elif conn.parser.unreader.has_begun:
            self.wait(conn, WRITE_SECONDS, self.respond, self.drop, until_writable=True)
        else:
            self.wait(conn, self.keepalive if self.alive else STOP_KEEPALIVE_LINGER, self.respond, self.drop)

    def receive_more(self, conn: TConn) -> None:
        self.wait(conn, conn.parser.unreader.deadline - time.monotonic(), self.respond, self.cut_short)

    def cut_short(self, conn: TConn) -> None:
        """Let the application say that a request ended early."""
        if not conn.parser.unreader.has_begun:
            self.drop(conn)
            return
        conn.parser.unreader.is_cut = True
        self.wait(conn, WRITE_SECONDS, self.respond, self.drop, until_writable=True)

    def send_rest(self, may_stay_open: bool, conn: TConn) -> None:
        try:
            conn.sock.flush()
        except OSError:
            self.drop(conn)
        else:
            self.finish(conn, may_stay_open)

    def linger(self, until: float, conn: TConn) -> None:
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
            self.wait(conn, until - time.monotonic(), partial(self.linger, until), self.drop)

    def wait(
        self,
        conn: TConn,
        seconds: float,
        step: Callable[[TConn], None],
        on_deadline: Callable[[TConn], None],
        *,
        until_writable: bool = False,
    ) -> None:
        """Take `step` when the client is ready, or `on_deadline` after `seconds`. The caller owns `conn` no longer."""
        conn.timeout = time.monotonic() + seconds
        conn.step, conn.on_deadline, conn.until_writable = step, on_deadline, until_writable
        self.watch(conn)

    def watch(self, conn: TConn) -> None:
        descriptor = conn.sock.fileno()
        self.waiting[descriptor] = conn
        self.ready.watch(descriptor, until_writable=conn.until_writable)

    def drop(self, conn: TConn) -> None:
        self.connections.discard(conn)
        conn.parser.unreader.finish()
        conn.close()

    # The main thread. gunicorn calls these methods in its main loop.

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        super().wait_for_and_dispatch_events(min(timeout, PROBE_SECONDS))

    def count_connections(self) -> None:
        self.nr_conns = len(self.connections)
        loads[self.place] = self.nr_conns if self.alive else NO_WORKER

    def murder_pending(self) -> None:
        """Look for health checks, and for connections whose time is up. Called in each turn of the main loop."""
        self.count_connections()
        for descriptor in self.ready.wait(0, most=self.worker_connections):  # none unless all threads are busy
            if conn := self.waiting.pop(descriptor, None):
                conn.timeout = max(conn.timeout, time.monotonic() + 2 * CHECK_SECONDS)  # the client waits for a thread
                self.go_on(conn) if is_probe(conn) else self.watch(conn)
        if time.monotonic() < self.next_check:
            return
        self.next_check = time.monotonic() + CHECK_SECONDS
        for descriptor, waiting in list(self.waiting.items()):
            if waiting.timeout <= self.next_check and (conn := self.waiting.pop(descriptor, None)):
                # A thread may have worked on it since.
                conn.on_deadline(conn) if conn.timeout <= time.monotonic() else self.watch(conn)

    def murder_keepalived(self, force: bool = False) -> None:
        """If `force` is true, end the threads, and all connections that wait."""
        if force:
            self.has_ended = True
            self.ready.wake_all()
            for descriptor in list(self.waiting):
                if conn := self.waiting.pop(descriptor, None):
                    self.drop(conn)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Tell the requests that wait for something to end. gunicorn calls this on SIGTERM."""
        super().handle_exit(sig, frame)
        is_stopping.set()

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        self.has_ended = True
        self.ready.wake_all()
        super().handle_quit(sig, frame)

    def _cap_keepalive(self, deadline: float) -> None:
        """Let connections wait at most until `deadline` for their next request."""
        for conn in list(self.waiting.values()):
            if not conn.parser.unreader.has_begun:
                conn.timeout = min(conn.timeout, deadline)


def is_probe(conn: TConn) -> bool:
    """Return whether the next request on a connection is a PROBE, without taking it."""
    if conn.parser.unreader.has_begun or conn.until_writable:
        return False
    with suppress(OSError):  # nothing has arrived
        return PROBE.fullmatch(conn.sock.recv(4_096, socket.MSG_PEEK)) is not None
    return False


def pre_request(worker: Worker, request: Request) -> None:
    """Adapt gunicorn's view of a request: a hook of its configuration."""
    request._expected_100_continue = False  # the body has arrived
    if request.unreader.is_cut or len(worker.waiting) >= worker.max_keepalived:
        request.force_close()
    # Let the application announce that the connection closes: salesengine.http.middleware.UnreadBodyMiddleware.
    request.body.force_close = request.force_close
    # What sales.ingest.bodies and salesengine.http.middleware need to know.
    request.body.is_cut = request.unreader.is_cut
    request.body.was_refused, request.body.share = request.unreader.was_refused, request.unreader.share


def take_place(arbiter: Arbiter, worker: Worker) -> None:
    """Give a new worker a place in `loads`: a hook of gunicorn's configuration, before it forks."""
    taken = {other.place for other in arbiter.WORKERS.values()}
    worker.place = next(place for place in range(PLACES) if place not in taken)
    loads[worker.place] = 0


def leave_place(arbiter: Arbiter, worker: Worker) -> None:
    """Forget the connections of a worker that has ended: a hook of gunicorn's configuration."""
    loads[worker.place] = NO_WORKER
