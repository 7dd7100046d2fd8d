"""manage.py upgrade_database: from PostgreSQL 16 with data to the installed version."""

import os
import subprocess
import sys

import pytest

from salesengine.embedded import server as embedded
from salesengine.embedded.programs import give_to_system_user, grant_access, run
from salesengine.embedded.upgrading import OLD_BINARIES, UPGRADED
from salesengine.tests.servers import ROOT, empty_folder

pytestmark = pytest.mark.slow

# Run a command with the old programs.
OLD_COMMAND = """
import sys
import django
from pathlib import Path
from salesengine.embedded import server
server.BINARIES, server.VERSION = Path(sys.argv[1]), "16"
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", *sys.argv[2:]])
"""


def python(local_dir, *arguments):
    environment = os.environ | {"LOCAL_DIR": str(local_dir), "ENV_FILE": os.devnull}
    environment |= {"DJANGO_SETTINGS_MODULE": "salesengine.settings", "BACKUP_DIR": ""}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
    )


def create_old_database(local_dir):
    """Create a database of PostgreSQL 16 with demo sales, and kill its server."""
    old = OLD_BINARIES["16"]
    (local_dir / "postgres").mkdir(mode=0o700)
    give_to_system_user(local_dir / "postgres")
    if os.geteuid() == 0:
        grant_access(local_dir)
        subprocess.run(["chmod", "-R", "o+rX", old.parent], check=True)
    options = ("--username", embedded.DATABASE, "--auth", "trust", "--encoding", "UTF8", "--locale", "C")
    run(local_dir, old / "initdb", "-D", "postgres", *options)
    create = f"CREATE DATABASE {embedded.DATABASE}\n"
    run(local_dir, old / "postgres", "--single", "-D", "postgres", "postgres", stdin=create)
    for command in (("migrate", "--verbosity=0"), ("load_demo", "--sales=300", "--append")):
        finished = python(local_dir, "-c", OLD_COMMAND, str(old), *command)
        assert finished.returncode == 0, finished.stderr


def test_a_database_of_postgresql_16_is_upgraded_with_its_sales():
    with empty_folder() as local_dir:
        create_old_database(local_dir)

        (local_dir / UPGRADED / "base").mkdir(parents=True)  # as if an upgrade had been killed at its end

        refused = python(local_dir, "manage.py", "verify_feedback")
        upgraded = python(local_dir, "manage.py", "upgrade_database")
        verified = python(local_dir, "manage.py", "verify_feedback")
        again = python(local_dir, "manage.py", "upgrade_database")

        assert refused.returncode == 1
        assert "is of PostgreSQL 16. Stop the service, and run manage.py upgrade_database." in refused.stderr
        assert upgraded.returncode == 0, upgraded.stderr
        assert (local_dir / "postgres" / "PG_VERSION").read_text() == "18\n"
        assert (local_dir / "postgres.16" / "PG_VERSION").read_text() == "16\n"
        assert verified.returncode == 0, verified.stderr
        assert "agrees with all 300 sales" in verified.stderr
        assert again.stderr == "The database is up to date.\n"
