"""A new release replaces the running one while clients send requests, and two releases are never mixed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import httpx
import psutil
import pytest

from salesengine.tests.servers import GUNICORN, ROOT, free_port, new_folder

pytestmark = pytest.mark.slow

VIEW = "salesengine/operations/health.py"
TEMPLATE = "salesengine/templates/admin/login.html"


@pytest.fixture
def release(tmp_path):
    """Return a copy of the project."""
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for file in filter(None, files):
        if (ROOT / file).exists():
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


@pytest.fixture
def running(release):
    """Run the copy. Yields its address."""
    with new_folder() as folder, (folder / "log").open("w") as log:
        port = str(free_port())
        environment = os.environ | {"LOCAL_DIR": str(folder), "PORT": port, "ENV_FILE": os.devnull}
        command = [sys.executable, GUNICORN, "--pid", "gunicorn.pid"]
        command += ["--config", "python:salesengine.gunicorn", "salesengine.wsgi"]
        process = subprocess.Popen(command, env=environment, cwd=release, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(lambda: answers(address))
            yield address
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid(release), signal.SIGTERM)
            wait_for(lambda: process.poll() is not None and not answers(address))


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def answers(address):
    with suppress(httpx.TransportError):
        return httpx.get(f"{address}/healthz").status_code == 200


def health_checks(address):
    """Return the number of requests to /healthz that /metrics has counted."""
    text = httpx.get(f"{address}/metrics").text
    return float(re.search(r'duration_seconds_count{.*route="healthz".*} (.+)', text)[1])


def pid(release):
    return int((release / "gunicorn.pid").read_text())


def change(release):
    """Put the files of the next release in place."""
    view, template = release / VIEW, release / TEMPLATE
    view.write_text(view.read_text().replace('HttpResponse("ok"', 'HttpResponse("new"'))
    template.write_text("new")


class Client:
    """Send requests, with and without keep-alive, until told to stop."""

    def __init__(self, address):
        self.address, self.stop, self.answers, self.failures = address, threading.Event(), [], []
        self.threads = [threading.Thread(target=self.run, args=(number % 2 == 0,)) for number in range(6)]
        for thread in self.threads:
            thread.start()

    def run(self, keep_alive):
        limits = httpx.Limits(max_keepalive_connections=None if keep_alive else 0)
        with httpx.Client(timeout=30, limits=limits) as http:
            while not self.stop.is_set():
                try:
                    response = http.get(f"{self.address}/healthz")
                    self.answers.append((response.status_code, response.text))
                except httpx.TransportError as error:
                    self.failures.append(repr(error))

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def test_a_new_release_replaces_the_old_one_without_a_failed_request(release, running):
    client = Client(running)
    try:
        wait_for(lambda: len(client.answers) > 20)
        counted = health_checks(running)
        change(release)
        os.kill(old := pid(release), signal.SIGUSR2)
        wait_for((release / "gunicorn.pid.2").exists)
        os.kill(old, signal.SIGTERM)
        wait_for(lambda: (release / "gunicorn.pid").exists() and pid(release) != old)
        wait_for(lambda: not psutil.pid_exists(old) or psutil.Process(old).status() == psutil.STATUS_ZOMBIE)
        seen = len(client.answers)
        wait_for(lambda: len(client.answers) > seen + 100)
    finally:
        client.end()

    assert client.failures == []
    assert client.answers[0] == (200, "ok")
    assert set(client.answers[seen + 12 :]) == {(200, "new")}
    assert health_checks(running) >= counted + 100  # the new release continues the counts


def test_a_worker_that_restarts_after_files_have_changed_serves_the_old_release(release, running):
    change(release)
    for worker in psutil.Process(pid(release)).children():
        if "gunicorn" in " ".join(worker.cmdline()):
            worker.kill()

    time.sleep(1)
    assert httpx.get(f"{running}/healthz", timeout=30).text == "ok"
    assert "<form" in httpx.get(f"{running}/admin/login/", timeout=30).text
