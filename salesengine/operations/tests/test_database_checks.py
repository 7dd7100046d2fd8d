"""A database that refuses writes, or could lose committed sales, is found before it is used."""

import os
import subprocess
import sys

import httpx
import pytest

from salesengine.embedded import server as embedded
from salesengine.operations.tests.helpers import server_setting
from salesengine.tests.proxy import production
from salesengine.tests.servers import ROOT, serve

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(folder):
    with serve(folder) as address:
        yield address


def run(folder, *command):
    url = f"postgres://{embedded.DATABASE}@/{embedded.socket_dir(folder)}/{embedded.DATABASE}"
    environment = os.environ | {"ENV_FILE": os.devnull} | production(url)
    command = (sys.executable, "manage.py", *command)
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("name", "value", "message", "check_id"),
    [
        ("default_transaction_read_only", "on", "the database is read-only", "salesengine.E001"),
        ("fsync", "off", "a crash of the database would lose committed sales", "salesengine.E002"),
        ("full_page_writes", "off", "a crash of the database would lose committed sales", "salesengine.E002"),
    ],
)
def test_an_unfit_database_is_not_ready_and_is_refused_at_the_start(folder, address, name, value, message, check_id):
    assert httpx.get(f"{address}/readyz").text == "ready"
    with server_setting(folder, name, value):
        ready = httpx.get(f"{address}/readyz")
        checked, prepared = run(folder, "check"), run(folder, "prepare")

    assert (ready.status_code, ready.text) == (503, message)
    assert checked.returncode == prepared.returncode == 1
    assert f"({check_id}) {message}" in checked.stderr
    assert f"({check_id})" in prepared.stderr
    assert httpx.get(f"{address}/readyz").text == "ready"


def test_a_read_only_database_answers_503_and_recovers(folder, address, event):
    assert httpx.post(f"{address}/ingest", json=event).status_code == 201
    with server_setting(folder, "default_transaction_read_only", "on"):
        for body in (event, [event], [event] * 300):
            response = httpx.post(f"{address}/ingest", json=body)
            assert (response.status_code, response.headers["Retry-After"]) == (503, "5"), response.text

    assert [httpx.post(f"{address}/ingest", json=body).status_code for body in (event, [event])] == [201, 201]
