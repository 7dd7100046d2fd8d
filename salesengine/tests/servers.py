"""Run the service, its commands and its database as separate processes."""

import atexit
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

import httpx
import psycopg
import pytest

ROOT = Path(__file__).resolve().parents[2]
GUNICORN = str(Path(sys.executable).with_name("gunicorn"))
PASSWORD = "a long test password"


@contextmanager
def waiting_at_most(time: str) -> Iterator[None]:
    """Let statements fail that wait for a lock longer than `time`, such as "1s"."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [time])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until the condition is true. Fail after this many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition was not met within {seconds:g} seconds"
        time.sleep(0.02)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let this process write no file beyond this many bytes, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def serve(folder: Path, **settings: str) -> Iterator[str]:
    """Run the service as `bin/start` does, on a free port, with a folder from `new_folder`. Yields its URL."""
    port = str(free_port())
    environment = os.environ | {"LOCAL_DIR": str(folder), "PORT": port, "ENV_FILE": os.devnull} | settings
    command = [sys.executable, GUNICORN, "--config", "python:salesengine.gunicorn", "salesengine.wsgi"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 90
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail((folder / "log").read_text())
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=60)


def _answers(url: str) -> bool:
    with suppress(httpx.TransportError):
        httpx.get(f"{url}/healthz")
        return True
    return False


def manage(folder: Path, *command: str) -> str:
    """Run a manage.py command on the database in this LOCAL_DIR and return its output. It must succeed."""
    environment = os.environ | {"LOCAL_DIR": str(folder), "ENV_FILE": os.devnull}
    command = (sys.executable, "manage.py", *command)
    return subprocess.run(command, env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def start_command(folder: Path, *command: str | Path) -> subprocess.Popen[bytes]:
    """Start a manage.py command on the database in this LOCAL_DIR, and return its process. Its messages are dropped."""
    environment = os.environ | {"LOCAL_DIR": str(folder), "ENV_FILE": os.devnull}
    nothing = subprocess.DEVNULL
    return subprocess.Popen(
        [sys.executable, "manage.py", *command], env=environment, cwd=ROOT, stdout=nothing, stderr=nothing
    )


def new_key(folder: Path, name: str, *scopes: str) -> dict[str, str]:
    """Create an API key in the database in this LOCAL_DIR and return the header that sends it."""
    key = manage(folder, "create_api_key", name, *(f"--scope={scope}" for scope in scopes))
    return {"Authorization": f"Api-Key {key.strip()}"}


def connect_database(folder: Path) -> psycopg.Connection:
    """Connect to the running database in this LOCAL_DIR, in autocommit mode."""
    from salesengine.embedded import server as embedded

    host = str(embedded.socket_dir(folder))
    return psycopg.connect(host=host, user=embedded.DATABASE, dbname=embedded.DATABASE, autocommit=True)


def free_port() -> int:
    """Return a TCP port that is free at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def new_folder() -> Iterator[Path]:
    """Yield a LOCAL_DIR with a prepared database, whose user admin has the PASSWORD."""
    with empty_folder() as folder:
        subprocess.run(["cp", "-a", made_once() / "postgres", folder], check=True)  # keeps the owner
        yield folder


@contextmanager
def empty_folder() -> Iterator[Path]:
    """Yield an empty folder. It is outside pytest's folders, which PostgreSQL cannot enter as another user."""
    with tempfile.TemporaryDirectory(prefix="salesengine-", ignore_cleanup_errors=True) as folder:
        yield Path(folder).resolve()


@cache
def made_once() -> Path:
    """Return the LOCAL_DIR that `new_folder` copies, because creating a database and its tables takes seconds."""
    cleanup = ExitStack()
    atexit.register(cleanup.close)
    folder = cleanup.enter_context(empty_folder())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
        manage(folder, "prepare")
    return folder
