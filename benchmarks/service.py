"""The service under measurement: its own database in a temporary folder, its own port."""

import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg

from salesengine.embedded import server as embedded

ROOT = Path(__file__).resolve().parents[1]


class Service:
    """Runs management commands, and gunicorn while `serving`. Its `folder` has room for a benchmark's files."""

    def __init__(self, folder: str, settings: Mapping[str, str]) -> None:
        self.folder = Path(folder)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
            "ENV_FILE": os.devnull,
            "LOCAL_DIR": folder,
            "PORT": str(self.port),
            **settings,
        }

    def manage(self, *arguments: str) -> None:
        self._run("manage.py", *arguments)

    def write_events(self, number: int, *options: str) -> Path:
        """A file of that many events (benchmarks.events)."""
        path = self.folder / f"{number}{''.join(options)}.ndjson"
        self._run("-m", "benchmarks.events", str(number), str(path), *options)
        return path

    def make_key(self) -> str:
        """An API key that may do all that is measured."""
        command = ["create_api_key", "bench", "--scope", "ingest", "--scope", "read"]
        return self._run("manage.py", *command, stdout=subprocess.PIPE).strip()

    def _run(self, *arguments: str, stdout: int | None = None) -> str:
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=ROOT, env=self.environment, check=True, stdout=stdout, text=True).stdout

    @contextmanager
    def serving(self) -> Iterator[psutil.Process]:
        """gunicorn's first process, while it serves. The database is up as long."""
        command = [sys.executable, "-m", "gunicorn", "--config", "python:salesengine.gunicorn", "salesengine.wsgi"]
        gunicorn = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=subprocess.DEVNULL)
        try:
            self._wait_until_it_answers()
            yield psutil.Process(gunicorn.pid)
        finally:
            gunicorn.terminate()
            gunicorn.wait()

    def _wait_until_it_answers(self) -> None:
        for _ in range(200):
            try:
                self.connect().request("GET", "/healthz")
            except ConnectionError:
                time.sleep(0.1)
            else:
                return
        raise RuntimeError("the service did not start")

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def connect_database(self) -> psycopg.Connection:
        """A connection of our own, in autocommit mode, while the service is `serving`."""
        sockets = str(embedded.socket_dir(self.folder))
        return psycopg.connect(
            host=sockets, port=embedded.PORT, user=embedded.DATABASE, dbname=embedded.DATABASE, autocommit=True
        )

    def postmaster(self) -> psutil.Process:
        """PostgreSQL's first process."""
        return psutil.Process(int((self.folder / "postgres" / "postmaster.pid").read_text().split()[0]))


@contextmanager
def service(**settings: str) -> Iterator[Service]:
    """A service with an empty, prepared database; both are gone at the end."""
    folder = tempfile.mkdtemp(prefix="salesengine-benchmark-")
    try:
        measured = Service(folder, settings)
        measured.manage("prepare")
        yield measured
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def seconds(connection: http.client.HTTPConnection, address: str) -> float:
    """How long one GET takes, from the request to the last byte of the answer."""
    start = time.perf_counter()
    connection.request("GET", address)
    response = connection.getresponse()
    response.read()
    elapsed = time.perf_counter() - start
    if response.status != 200:
        raise RuntimeError(f"{address} answered {response.status}")
    return elapsed


def cpu_seconds(first: psutil.Process) -> float:
    """What a process, the processes it started, and those of them that have ended, have used so far."""
    ended = first.cpu_times()
    living = [process.cpu_times() for process in (first, *first.children(recursive=True))]
    return sum(times.user + times.system for times in living) + ended.children_user + ended.children_system


def note(text: str) -> None:
    """Tell whoever waits how far it is; results alone go to standard output."""
    print(text, file=sys.stderr, flush=True)
