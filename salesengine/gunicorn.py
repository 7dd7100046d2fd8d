"""Gunicorn's configuration: `gunicorn --config python:salesengine.gunicorn salesengine.wsgi`."""

import gc
import json
import resource
import sys

from gunicorn.arbiter import Arbiter

from salesengine import settings
from salesengine.http.worker import Worker, pre_request  # noqa: F401  # gunicorn calls pre_request

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

OPEN_FILES = 4_096  # of each worker; many systems allow 1,024, which 1,000 connections of clients nearly use up

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
    """Raise the limit of open files above worker_connections, and print the welcome message."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, OPEN_FILES)), hard))
    gc.freeze()  # exclude the loaded application from garbage collection in the workers
    from sales.ingest.schema import EXAMPLE  # importable only after the application is loaded

    host = "localhost" if settings.HOST in {"0.0.0.0", "[::]"} else settings.HOST  # noqa: S104
    url = f"http://{host}:{settings.PORT}"
    key = '-H "Authorization: Api-Key $KEY" ' if settings.API_KEY_REQUIRED else ""
    create_key = CREATE_KEY.format(python=sys.executable) if settings.API_KEY_REQUIRED else ""
    sys.stdout.write(WELCOME.format(url=url, create_key=create_key, key=key, event=json.dumps(EXAMPLE)))
    sys.stdout.flush()
