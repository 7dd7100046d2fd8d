"""Gunicorn's configuration: `gunicorn --config python:salesengine.gunicorn salesengine.wsgi`."""

import atexit
import ctypes
import gc
import json
import logging
import os
import resource
import shutil
import sys
import tempfile
import time

from django.core.exceptions import ImproperlyConfigured
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

try:
    from salesengine import settings
except ImproperlyConfigured as error:
    sys.exit(f"Invalid settings: {error}")  # gunicorn would print a traceback
from salesengine.operations.request_lines import DelayedLines
from salesengine.server.worker import Worker, leave_place, pre_request, take_place  # noqa: F401  # a hook

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

M_ARENA_MAX = -8  # see mallopt(3)
ARENAS = 2  # of malloc
OPEN_FILES = 4_096  # of each worker; many systems allow 1,024, which 1,000 connections of clients nearly use up
SAMPLE_INTERVAL = 1  # seconds

# The workers' counts: see salesengine.operations.metrics. Memory, if possible, because files on a disk would be written
# to it constantly. A process that replaces a running one (SIGUSR2) continues the counts in the same folder.
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
SHARED_MEMORY = "/dev/shm"  # noqa: S108  # Linux only
if "GUNICORN_PID" not in os.environ or METRICS_FOLDER not in os.environ:
    os.environ[METRICS_FOLDER] = tempfile.mkdtemp(
        prefix="salesengine-metrics-", dir=SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None
    )


class ObservedWorker(Worker):
    """Write the log of requests several times a second, and measure the process once a second."""

    next_sample = 0.0  # on the monotonic clock
    request_log: DelayedLines

    def notify(self) -> None:
        """Tell gunicorn that this process lives. Called in each round of the main loop, every 0.2 seconds or sooner."""
        super().notify()
        self.request_log.flush()
        if (now := time.monotonic()) >= self.next_sample:
            from salesengine.operations.metrics import sample_process

            self.next_sample = now + SAMPLE_INTERVAL
            sample_process()


class ErrorLog(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Log no requests: salesengine.operations.requests does. gunicorn would compute all fields and drop them."""

    def access(self, *_: object) -> None:
        pass


bind = f"{settings.HOST}:{settings.PORT}"
workers = settings.WEB_CONCURRENCY
worker_class = ObservedWorker
preload_app = True  # load the application once, before forking; nothing connects to the database until a request does
threads = settings.WEB_THREADS
keepalive = 75  # seconds; longer than the idle timeout of common proxies, so that the proxy closes first
timeout = 15  # seconds without a sign of life from the main loop of a worker; requests may take longer
limit_request_line = 8_190  # bytes, gunicorn's maximum: enough for all filters of GET /sales at their longest
control_socket_disable = True
logger_class = ErrorLog
logconfig_dict = settings.LOGGING
pre_fork, child_exit = take_place, leave_place
forwarder_headers = ""  # ignore the headers SCRIPT_NAME and PATH_INFO, which clients could forge
# Django reads X-Forwarded-Proto. gunicorn would look for such headers if the address of the client was in a list, and
# would parse the address for each request.
secure_scheme_headers: dict[str, str] = {}
forwarded_allow_ips = "*"


def on_starting(server: Arbiter) -> None:
    """Keep the embedded database running as long as the service, even if workers die."""
    if settings.IS_LOCAL:
        from salesengine.embedded import server as embedded
        from salesengine.embedded.programs import EmbeddedServerError

        try:
            embedded.start(settings.LOCAL_DIR, settings.WAL_ARCHIVE)
        except EmbeddedServerError as error:  # gunicorn would print a traceback
            on_exit(server)
            sys.exit(f"Cannot use the database: {' '.join(str(error).split())}")


def limit_memory() -> None:
    """Let the threads of a worker share memory. Otherwise glibc keeps what each thread has freed for that thread."""
    if set_option := getattr(ctypes.CDLL(None), "mallopt", None):  # not on macOS
        set_option(M_ARENA_MAX, ARENAS)


def when_ready(server: Arbiter) -> None:
    """Raise the limit of open files above worker_connections, and print the welcome message."""
    limit_memory()
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


def post_fork(server: Arbiter, worker: ObservedWorker) -> None:
    """Let a new worker continue the counts of one that has ended, and write its log itself."""
    from salesengine.operations import requests
    from salesengine.operations.metrics import claim_slot

    claim_slot()
    [console] = [handler for handler in logging.root.handlers if isinstance(handler, logging.StreamHandler)]
    worker.request_log = DelayedLines(console)
    requests.log_line = worker.request_log.add
    atexit.register(worker.request_log.flush)


def pre_exec(server: Arbiter) -> None:
    """Hand the counts to the process that replaces this one."""
    server.cfg.env_orig[METRICS_FOLDER] = os.environ[METRICS_FOLDER]


def on_exit(server: Arbiter) -> None:
    """Delete the counts, unless another process uses them: one that replaces this one, or one that it replaces."""
    if not server.reexec_pid and not server.master_pid:
        shutil.rmtree(os.environ[METRICS_FOLDER], ignore_errors=True)
