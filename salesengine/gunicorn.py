"""How gunicorn serves the project: `gunicorn --config python:salesengine.gunicorn salesengine.wsgi`."""

import gc
import json
import os
import socket
import struct
import sys

from gunicorn.arbiter import Arbiter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "salesengine.settings")

from salesengine import settings

WELCOME = """
Sales Engine is ready.

  Back office    {address}/admin/
  API            {address}/docs
  Feedback       {address}/feedback

{make_key}Post the example sale, then read the feedback:

  curl -H 'Content-Type: application/json' {key}-d '{event}' {address}/ingest
  curl {key}{address}/feedback

Ctrl-C stops it.
"""
MAKE_KEY = """\
The API wants a key, which is shown only once:

  KEY=$({python} manage.py create_api_key me --scope ingest --scope read)

"""

bind = f"{settings.HOST}:{settings.PORT}"
workers = settings.WEB_CONCURRENCY
worker_class = "gthread"
preload_app = True  # loaded once, before the workers are forked; nothing connects to the database until a request does
threads = settings.WEB_THREADS
worker_connections = 1000
keepalive = 75  # seconds; longer than the idle time of common proxies, so that they close first
backlog = 2048
timeout = 60
graceful_timeout = 30
control_socket_disable = True
forwarder_headers = ""  # no client, through a proxy on this machine, says under which path the project lies
SLOWEST_PAUSE = 10  # seconds between two parts of one request, before its thread is free for others again


def on_starting(server: Arbiter) -> None:
    """Keep the embedded database up for as long as the service is, whatever becomes of single workers."""
    if settings.IS_LOCAL:
        from salesengine.embedded import server as embedded

        embedded.start(settings.LOCAL_DIR)


def when_ready(server: Arbiter) -> None:
    """Limit how long a client may pause in mid-request, and say what to do next."""
    for listener in server.LISTENERS:  # connections inherit it; the worker itself waits for ever
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", SLOWEST_PAUSE, 0))

    gc.freeze()  # what is loaded by now stays: workers need not look through it again and again
    from sales.ingest.schema import EXAMPLE  # needs the application, which is loaded too

    host = "localhost" if settings.HOST in {"0.0.0.0", "[::]"} else settings.HOST  # noqa: S104
    address = f"http://{host}:{settings.PORT}"
    key = '-H "Authorization: Api-Key $KEY" ' if settings.API_KEY_REQUIRED else ""
    make_key = MAKE_KEY.format(python=sys.executable) if settings.API_KEY_REQUIRED else ""
    sys.stdout.write(WELCOME.format(address=address, make_key=make_key, key=key, event=json.dumps(EXAMPLE)))
    sys.stdout.flush()
