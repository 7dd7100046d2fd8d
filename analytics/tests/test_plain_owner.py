"""The service runs with a database owner who is not a superuser, on a server that asks for passwords."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest

from salesengine.embedded.server import BINARIES, socket_dir
from salesengine.tests.servers import ROOT, connect_database, new_folder, serve
from salesengine.tests.test_settings import PRODUCTION

pytestmark = pytest.mark.slow

RULES = "local all salesengine trust\nlocal all all scram-sha-256\n"
Manage = Callable[..., CompletedProcess[str]]
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
def manage(server: Path, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manage]:
    """Create a database as Docker Compose does, whose owner has the rights in the parameter, and yield `run`."""
    (tmp_path / "database_password").write_text("a 'secret'\n")
    script = (ROOT / "deploy" / "create_database.sh").read_text().replace("salesengine", "shop")
    psql = {"PGHOST": str(server), "PGUSER": "salesengine", "PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", script], env=psql | {"SECRETS": str(tmp_path)}, check=True)
    execute(server, f"ALTER ROLE shop {request.param}")
    environment = os.environ | PRODUCTION | {"ENV_FILE": os.devnull, "API_KEY_REQUIRED": "false"}
    environment["DATABASE_URL"] = f"postgres://shop@/{server}/shop"
    environment["DATABASE_PASSWORD_FILE"] = str(tmp_path / "database_password")

    def run(*command: str, **settings: str) -> CompletedProcess[str]:
        command = (sys.executable, "manage.py", *command)
        return subprocess.run(command, env=environment | settings, cwd=ROOT, capture_output=True, text=True)

    yield run
    execute(server, "DROP DATABASE shop", "DROP ROLE IF EXISTS shop_reports", "DROP ROLE shop")


@pytest.mark.parametrize("manage", ["CREATEROLE"], indirect=True)
def test_an_owner_who_may_create_roles_prepares_everything_also_for_a_new_secret_key(manage):
    prepared = manage("prepare")
    assert prepared.returncode == 0, prepared.stderr
    assert "reports" not in prepared.stderr

    changed = {"SECRET_KEY": "k" * 50}
    assert manage("prepare", **changed).stderr == ""
    assert manage(*REPORT, **changed).stdout.startswith("id_country,")


@pytest.mark.parametrize("manage", ["NOCREATEROLE"], indirect=True)
def test_an_owner_who_may_not_create_roles_is_told_what_to_run(server, manage):
    prepared = manage("prepare")
    assert prepared.returncode == 0, prepared.stderr
    assert "The role of reports could not be prepared: permission denied to create role" in prepared.stderr
    assert "password authentication failed" in prepared.stderr
    assert "(analytics.W002)" in prepared.stderr

    [statement] = [line for line in prepared.stderr.splitlines() if line.strip().startswith("CREATE ROLE")]
    execute(server, statement)
    assert manage("prepare").stderr == ""
    assert manage(*REPORT).stdout.startswith("id_country,")
