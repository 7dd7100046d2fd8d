"""The service of a round: gunicorn with the product's configuration."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil

from salesengine.tests.proxy import production
from salesengine.tests.servers import GUNICORN, ROOT, free_port

# Short limits, so that a fault shows its effect within seconds.
LIMITS = {"LOCK_TIMEOUT": "1", "STATEMENT_TIMEOUT": "3", "SINGLES_TIMEOUT": "6", "WEB_THREADS": "8"}


class Service:
    """A gunicorn with two workers on this database. Its supervisor is the round."""

    def __init__(self, folder: Path, database_url: str, **settings: str) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.pid_file = folder / "gunicorn.pid"
        limits = {"HOST": "127.0.0.1", "PORT": str(self.port), "LOCAL_DIR": str(folder), "ENV_FILE": os.devnull}
        self.environment = os.environ | limits | LIMITS | production(database_url) | settings
        self.groups: list[int] = []

    def launch(self) -> None:
        """Start a master, without waiting for it."""
        command = [sys.executable, GUNICORN, "--pid", str(self.pid_file)]
        command += ["--config", "python:salesengine.gunicorn", "salesengine.wsgi"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )
        self.groups.append(self.process.pid)

    def start(self) -> None:
        self.launch()
        wait_for(self.answers, f"{self.folder}/log: the service does not start")

    def answers(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/healthz", timeout=5).status_code == 200
        return False

    def master(self) -> psutil.Process:
        return psutil.Process(int(self.pid_file.read_text()))

    def workers(self) -> list[psutil.Process]:
        """Return the workers that run."""
        return [child for child in self.master().children() if is_alive(child)]

    def kill_master(self) -> None:
        """Kill the master, and start a new one as a supervisor does: after it has killed the workers that remain."""
        master = self.master()
        master.kill()
        wait_for(lambda: not is_alive(master), "the master does not die")
        self.kill()
        self.pid_file.unlink()
        self.launch()

    def reload(self) -> None:
        """Replace all workers, with SIGHUP."""
        old = {worker.pid for worker in self.workers()}
        self.master().send_signal(signal.SIGHUP)
        wait_for(lambda: not old & {worker.pid for worker in self.workers()}, "old workers remain")
        wait_for(lambda: len(self.workers()) >= 2, "no new workers")

    def replace(self) -> None:
        """Replace master and workers, as docs/deployment.md says."""
        old, new_file = self.master(), self.pid_file.with_name("gunicorn.pid.2")
        old.send_signal(signal.SIGUSR2)
        wait_for(new_file.exists, "the new release does not start")
        old.send_signal(signal.SIGTERM)
        wait_for(lambda: not is_alive(old), "the old release does not end")
        wait_for(lambda: self.pid_file.exists() and self.master() != old, "the new release has no pid file")

    def kill(self) -> None:
        """Kill all processes that this service has started."""
        for group in self.groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self.process.wait(timeout=10)
        self.groups.clear()

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")


def is_alive(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def wait_for(condition, message: str, seconds: float = 60) -> None:
    """Wait until the condition is true. Processes that it looks at may end meanwhile."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(psutil.NoSuchProcess, FileNotFoundError, ValueError):
            if condition():
                return
        assert time.monotonic() < deadline, message
        time.sleep(0.05)
