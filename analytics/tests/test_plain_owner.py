"""The service on a database whose server asks for passwords, and whose owner is no superuser."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest

from salesengine.embedded.server import socket_dir
from salesengine.tests.servers import ROOT, connect_database, new_folder, serve
from salesengine.tests.test_settings import PRODUCTION

pytestmark = pytest.mark.slow

RULES = "local all salesengine trust\nlocal all all scram-sha-256\n"
REPORT = ("run_report", "country_contribution", "--format", "csv", "--quiet")


@pytest.fixture(scope="module")
def server() -> Iterator[Path]:
    """Run a database server that asks everybody but the superuser for passwords. Yields the folder of its socket."""
    with new_folder() as folder, serve(folder), connect_database(folder) as superuser:
        (folder / "postgres" / "pg_hba.conf").write_text(RULES)
        superuser.execute("SELECT pg_reload_conf()")
        yield socket_dir(folder)


def execute(server: Path, *statements: str) -> None:
    """Execute statements as the superuser."""
    with psycopg.connect(host=str(server), user="salesengine", dbname="salesengine", autocommit=True) as superuser:
        for statement in statements:
            superuser.execute(statement)


@pytest.fixture
def manage(server: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., CompletedProcess[str]]]:
    """Create a database whose owner has the rights in the parameter. Yields a function that runs commands on it."""
    execute(server, f"CREATE ROLE owner LOGIN {request.param} PASSWORD 'secret'", "CREATE DATABASE shop OWNER owner")
    url = f"postgres://owner:secret@/{server}/shop"
    environment = os.environ | PRODUCTION | {"ENV_FILE": os.devnull, "DATABASE_URL": url, "API_KEY_REQUIRED": "false"}

    def run(*command: str, **settings: str) -> CompletedProcess[str]:
        command = (sys.executable, "manage.py", *command)
        return subprocess.run(command, env=environment | settings, cwd=ROOT, capture_output=True, text=True)

    yield run
    execute(server, "DROP DATABASE shop", "DROP ROLE IF EXISTS shop_reports", "DROP ROLE owner")


@pytest.mark.parametrize("manage", ["CREATEROLE"], indirect=True)
def test_an_owner_who_may_create_roles_prepares_everything_also_for_a_new_secret_key(manage):
    prepared = manage("prepare")
    assert prepared.returncode == 0, prepared.stderr
    assert "role" not in prepared.stderr
    assert manage(*REPORT).stdout.startswith("id_country,")

    changed = {"SECRET_KEY": "k" * 50}
    assert "password authentication failed" in manage(*REPORT, **changed).stderr
    assert manage("prepare", **changed).stderr == ""
    assert manage(*REPORT, **changed).returncode == 0


@pytest.mark.parametrize("manage", [""], indirect=True)
def test_an_owner_who_may_not_create_roles_is_told_what_to_run(server, manage):
    prepared = manage("prepare")
    assert prepared.returncode == 0, prepared.stderr
    assert "The role of reports could not be prepared: permission denied to create role" in prepared.stderr
    assert "(analytics.W002)" in manage("check").stderr
    assert manage(*REPORT).returncode == 1

    [statement] = [line for line in prepared.stderr.splitlines() if line.strip().startswith("CREATE ROLE")]
    execute(server, statement)
    assert manage("prepare").stderr == ""
    assert manage(*REPORT).stdout.startswith("id_country,")
