"""Start the measured service with its own database in a temporary folder and its own port."""

import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg

from salesengine.embedded import server as embedded

ROOT = Path(__file__).resolve().parents[1]
GUNICORN = str(Path(sys.executable).with_name("gunicorn"))


class Service:
    """Run management commands and, in `serving`, gunicorn. A benchmark may put its files into `folder`.

    `root` is the project, or a copy of it in another version.
    """

    def __init__(self, folder: str, settings: Mapping[str, str], root: Path) -> None:
        self.folder, self.root = Path(folder), root
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
        self.run_python("manage.py", *arguments)

    def write_events(self, number: int, *options: str) -> Path:
        """Write a file with this many events by benchmarks.events, and return its path."""
        path = self.folder / f"{number}{''.join(options)}.ndjson"
        self.run_python("-m", "benchmarks.events", str(number), str(path), *options)
        return path

    def make_key(self) -> str:
        """Create an API key that may do everything that is measured."""
        command = ["create_api_key", "bench", "--scope", "ingest", "--scope", "read"]
        return self.run_python("manage.py", *command, stdout=subprocess.PIPE).strip()

    def run_python(self, *arguments: str, stdout: int | None = None) -> str:
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=self.root, env=self.environment, check=True, stdout=stdout, text=True).stdout

    @contextmanager
    def serving(self) -> Iterator[psutil.Process]:
        """Run gunicorn, which also keeps the database running. Yield its main process. Its log goes to a file."""
        command = [sys.executable, GUNICORN, "--config", "python:salesengine.gunicorn", "salesengine.wsgi"]
        with (self.folder / "log").open("a") as log:
            gunicorn = subprocess.Popen(command, cwd=self.root, env=self.environment, stdout=log, stderr=log)
        try:
            self._wait_until_ready()
            yield psutil.Process(gunicorn.pid)
        finally:
            gunicorn.terminate()
            gunicorn.wait()

    def _wait_until_ready(self) -> None:
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
        """Return a new connection in autocommit mode. Works only while the service is `serving`."""
        sockets = str(embedded.socket_dir(self.folder))
        return psycopg.connect(
            host=sockets, port=embedded.PORT, user=embedded.DATABASE, dbname=embedded.DATABASE, autocommit=True
        )

    def postmaster(self) -> psutil.Process:
        """Return PostgreSQL's main process."""
        return psutil.Process(int((self.folder / "postgres" / "postmaster.pid").read_text().split()[0]))


@contextmanager
def service(root: Path = ROOT, **settings: str) -> Iterator[Service]:
    """Yield the service of `root` with an empty, prepared database. Delete both at the end."""
    folder = tempfile.mkdtemp(prefix="salesengine-benchmark-")
    try:
        measured = Service(folder, settings, root)
        measured.manage("prepare")
        yield measured
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def seconds(connection: http.client.HTTPConnection, path: str) -> float:
    """Return how many seconds one GET takes, from the request to the last byte of the response."""
    start = time.perf_counter()
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    elapsed = time.perf_counter() - start
    if response.status != 200:
        raise RuntimeError(f"{path} returned {response.status}")
    return elapsed


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU time of a process and its children so far, running and exited ones."""
    exited = process.cpu_times()
    running = []
    for child in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # it has just exited
            running.append(child.cpu_times())
    return sum(times.user + times.system for times in running) + exited.children_user + exited.children_system


def note(text: str) -> None:
    """Print progress to standard error. Standard output holds only the results."""
    print(text, file=sys.stderr, flush=True)
