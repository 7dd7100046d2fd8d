"""The service under measurement: its own database in a temporary folder, its own port."""

import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class Service:
    """Runs management commands, and gunicorn while `serving`."""

    def __init__(self, folder: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
            "ENV_FILE": os.devnull,
            "LOCAL_DIR": folder,
            "PORT": str(self.port),
        }

    def manage(self, *arguments: str) -> None:
        command = [sys.executable, "manage.py", *arguments]
        subprocess.run(command, cwd=ROOT, env=self.environment, check=True)

    @contextmanager
    def serving(self) -> Iterator[None]:
        command = [sys.executable, "-m", "gunicorn", "--config", "python:salesengine.gunicorn", "salesengine.wsgi"]
        gunicorn = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=subprocess.DEVNULL)
        try:
            self._wait_until_it_answers()
            yield
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


@contextmanager
def service() -> Iterator[Service]:
    """A service with an empty, prepared database; both are gone at the end."""
    folder = tempfile.mkdtemp(prefix="salesengine-benchmark-")
    try:
        measured = Service(folder)
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
