"""What every test can lean on."""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import psycopg
import pytest
from rest_framework.test import APIClient

ROOT = Path(__file__).parent
PASSWORD = "a long password of a test"

hypothesis.settings.register_profile("quick", max_examples=30)
hypothesis.settings.register_profile("thorough", max_examples=200)  # a step of its own in .ci/run
hypothesis.settings.load_profile("quick")


def pytest_configure() -> None:
    """Ignore by a handler what `nohup bin/test &` has us ignore: what tests start does not inherit that."""
    for each in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(each) is signal.SIG_IGN:
            signal.signal(each, lambda *_: None)


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What wants the service as processes of its own belongs to the slow suites."""
    for item in items:
        if {"server", "start_server"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True, scope="session")
def quick_flush() -> Iterator[None]:
    """Empty the tables after a test with transactions of its own in 2 ms, where TRUNCATE takes 50 and making the
    permissions anew another 50."""
    from django.db import connection
    from django.test import TransactionTestCase

    def delete_rows(case: TransactionTestCase) -> None:
        # Migrations fill these.
        kept = {"django_content_type", "auth_permission", "auth_group", "auth_group_permissions"}
        tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False)) - kept
        with connection.cursor() as cursor:
            cursor.execute("BEGIN; SET LOCAL session_replication_role = replica")  # in any order of the tables
            cursor.execute("; ".join(f'DELETE FROM "{table}"' for table in tables))
            cursor.execute("COMMIT")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", delete_rows)
        yield


@pytest.fixture(autouse=True)
def quick_passwords(settings: Any) -> None:
    """Hash passwords as fast as can be: a good hash takes a quarter of a second, for each log-in of each test."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def quick_clients(settings: Any) -> None:
    """Look for a static file when it is asked for: to find all of them takes a tenth of a second, for each client."""
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture(autouse=True)
def no_remembered_keys() -> None:
    """The API keys of a test are its own; those of others are forgotten."""
    from salesengine.accounts import api_keys

    api_keys.remembered.clear()


@pytest.fixture(autouse=True)
def one_connection(monkeypatch: Any) -> None:
    """Write single events on the connection of the test, in whose transaction they are. A real server has its own."""
    monkeypatch.setattr("sales.ingest.writer.SINGLES", "default")


@pytest.fixture
def api() -> APIClient:
    """An API client without credentials; the local posture lets it in."""
    return APIClient()


@pytest.fixture
def event() -> dict[str, Any]:
    """The example sale event, as sent."""
    from sales.ingest.schema import EXAMPLE

    return dict(EXAMPLE)


@contextmanager
def waiting_at_most(time: str) -> Iterator[None]:
    """Waiting longer for a lock is an error meanwhile; the connection may go back to its pool, so not for ever."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [time])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")


@contextmanager
def serve(folder: Path, **settings: str) -> Iterator[str]:
    """The service as `bin/start` runs it, on a port of its own, with a folder from `new_folder`; its address."""
    port = str(free_port())
    environment = os.environ | {"LOCAL_DIR": str(folder), "PORT": port, "ENV_FILE": os.devnull} | settings
    command = [sys.executable, "-m", "gunicorn", "--config", "python:salesengine.gunicorn", "salesengine.wsgi"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    for _ in range(100):
        with suppress(httpx.TransportError):
            httpx.get(f"{address}/healthz")
            break
        time.sleep(0.1)
    else:
        pytest.fail((folder / "log").read_text())
    yield address
    process.terminate()
    process.wait(timeout=30)


def manage(folder: Path, *command: str) -> str:
    """Runs a command of manage.py on the database in this LOCAL_DIR, which must succeed; what it says."""
    environment = os.environ | {"LOCAL_DIR": str(folder), "ENV_FILE": os.devnull}
    command = (sys.executable, "manage.py", *command)
    return subprocess.run(command, env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def new_key(folder: Path, name: str, *scopes: str) -> dict[str, str]:
    """The header of a client with a new API key in the database in this LOCAL_DIR."""
    key = manage(folder, "create_api_key", name, *(f"--scope={scope}" for scope in scopes))
    return {"Authorization": f"Api-Key {key.strip()}"}


def connect_database(folder: Path) -> psycopg.Connection:
    """A connection to the database in this LOCAL_DIR, in autocommit mode, while somebody else keeps it up."""
    from salesengine.embedded import server as embedded

    host = str(embedded.socket_dir(folder))
    return psycopg.connect(host=host, user=embedded.DATABASE, dbname=embedded.DATABASE, autocommit=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def new_folder() -> Iterator[Path]:
    """A LOCAL_DIR with a database that is prepared; its user admin has the PASSWORD."""
    with empty_folder() as folder:
        subprocess.run(["cp", "-a", made_once() / "postgres", folder], check=True)  # with its owner
        yield folder


@contextmanager
def empty_folder() -> Iterator[Path]:
    """Not below pytest's folders, where PostgreSQL could not go as another user."""
    folder = Path(tempfile.mkdtemp(prefix="salesengine-")).resolve()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@cache
def made_once() -> Path:
    """The LOCAL_DIR that `new_folder` copies: making the database and its tables takes seconds."""
    cleanup = ExitStack()
    atexit.register(cleanup.close)
    folder = cleanup.enter_context(empty_folder())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
        manage(folder, "prepare")
    return folder


@pytest.fixture(scope="session")
def server_dir() -> Iterator[Path]:
    """The LOCAL_DIR of `server`."""
    with new_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def server(server_dir: Path) -> Iterator[str]:
    """The service with its default settings; its address."""
    with serve(server_dir) as address:
        yield address


@pytest.fixture
def start_server() -> Iterator[Callable[..., str]]:
    """Starts the service with the settings given, on a database of its own, and returns its address."""
    with ExitStack() as servers:
        yield lambda **settings: servers.enter_context(serve(servers.enter_context(new_folder()), **settings))
