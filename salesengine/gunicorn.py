"""Gunicorn's configuration: `gunicorn --config python:salesengine.gunicorn salesengine.wsgi`."""

import gc
import json
import re
import selectors
import socket
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from gunicorn.arbiter import Arbiter
from gunicorn.http.message import Request
from gunicorn.workers.gthread import TConn, ThreadWorker

from salesengine import settings

WELCOME = """
Sales Engine is ready.

  Back office    {url}/admin/
  API            {url}/docs
  Feedback       {url}/feedback

{create_key}Post the example sale, then read the feedback:

  curl -H 'Content-Type: application/json' {key}-d '{event}' {url}/ingest
  curl {key}{url}/feedback

Ctrl-C stops it.
"""
CREATE_KEY = """\
The API requires a key. Create one and store it safely, because it cannot be shown again:

  KEY=$({python} manage.py create_api_key me --scope ingest --scope read)

"""

READ_TIMEOUT = 10  # seconds that a client may pause before and within a request
WRITE_TIMEOUT = 30  # seconds that a client may pause while it reads a response

# A complete health check without a body: the thread that reads it never waits for the client.
PROBE = re.compile(
    rb"(?:GET|HEAD) /healthz HTTP/1\.[01]\r\n(?:(?!content-length|transfer-encoding)[^\r\n]+\r\n)*\r\n", re.IGNORECASE
)


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Wait for the first bytes of a connection in the main loop, and give health checks a thread of their own.

    gunicorn waits for 5 seconds in one of the threads, so a few idle connections would occupy them all. While all
    threads wait for the database, a supervisor would take the process for dead.
    """

    def init_process(self) -> None:
        self.probe_pool = ThreadPoolExecutor(max_workers=1)
        super().init_process()

    def enqueue_req(self, conn: TConn) -> None:
        """Give a connection to a thread if a request has arrived on it. Called in the main loop."""
        if not (conn.initialized or conn.data_ready):
            conn.timeout = time.monotonic() + READ_TIMEOUT
            conn.sock.setblocking(False)
            self.pending_conns.append(conn)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))
        elif is_probe(conn):
            handled = self.probe_pool.submit(self.handle, conn)
            handled.add_done_callback(lambda future: self.method_queue.defer(self.finish_request, conn, future))
        else:
            super().enqueue_req(conn)


def is_probe(conn: TConn) -> bool:
    """Return whether the next request on a connection is a PROBE, without reading it."""
    if conn.initialized and conn.parser.unreader.buf.getvalue():  # read already, together with the last request
        return False
    with suppress(OSError, ValueError):  # nothing has arrived, or the connection has TLS
        return PROBE.fullmatch(conn.sock.recv(4_096, socket.MSG_PEEK | socket.MSG_DONTWAIT)) is not None
    return False


bind = f"{settings.HOST}:{settings.PORT}"
workers = settings.WEB_CONCURRENCY
worker_class = Worker
preload_app = True  # load the application once, before forking; nothing connects to the database until a request does
threads = settings.WEB_THREADS
keepalive = 75  # seconds; longer than the idle timeout of common proxies, so that the proxy closes first
timeout = 15  # seconds without a sign of life from the main loop of a worker; requests may take longer
control_socket_disable = True
forwarder_headers = ""  # ignore the headers SCRIPT_NAME and PATH_INFO, which clients could forge


def on_starting(server: Arbiter) -> None:
    """Keep the embedded database running as long as the service, even if workers die."""
    if settings.IS_LOCAL:
        from salesengine.embedded import server as embedded

        embedded.start(settings.LOCAL_DIR)


def when_ready(server: Arbiter) -> None:
    """Set the timeouts of connections, and print the welcome message."""
    for listener in server.LISTENERS:  # connections inherit them; gunicorn sets none
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", READ_TIMEOUT, 0))
        if sys.platform == "linux":  # SO_SNDTIMEO would not limit sendfile
            listener.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, WRITE_TIMEOUT * 1000)

    gc.freeze()  # exclude the loaded application from garbage collection in the workers
    from sales.ingest.schema import EXAMPLE  # importable only after the application is loaded

    host = "localhost" if settings.HOST in {"0.0.0.0", "[::]"} else settings.HOST  # noqa: S104
    url = f"http://{host}:{settings.PORT}"
    key = '-H "Authorization: Api-Key $KEY" ' if settings.API_KEY_REQUIRED else ""
    create_key = CREATE_KEY.format(python=sys.executable) if settings.API_KEY_REQUIRED else ""
    sys.stdout.write(WELCOME.format(url=url, create_key=create_key, key=key, event=json.dumps(EXAMPLE)))
    sys.stdout.flush()


def pre_request(worker: Worker, request: Request) -> None:
    """Let the application announce that the connection closes: salesengine.http.middleware.UnreadBodyMiddleware."""
    request.body.force_close = request.force_close
