"""With DATABASE_URL, a backup is a dump, and a restore fills an empty database."""

import os

import pytest

from salesengine.backups.tests.helpers import run_command
from salesengine.embedded.programs import BINARIES
from salesengine.embedded.server import socket_dir
from salesengine.tests.proxy import production
from salesengine.tests.servers import connect_database, empty_folder, new_folder, serve

pytestmark = pytest.mark.slow


def test_a_url_that_names_a_service_is_dumped(tmp_path):
    with new_folder() as local_dir, serve(local_dir):
        services = tmp_path / "services.conf"
        services.write_text(f"[sales]\nhost={socket_dir(local_dir)}\nuser=salesengine\ndbname=salesengine\n")
        settings = {"PATH": f"{BINARIES}:{os.environ['PATH']}", "PGSERVICEFILE": str(services)}
        url = production("postgres:///?service=sales")
        dumped = run_command(local_dir, "backup", "--to", tmp_path / "dumps", **url | settings)

        assert dumped.returncode == 0, dumped.stderr
        assert (tmp_path / "dumps" / dumped.stdout.strip()).exists()


def test_a_dump_restores_into_an_empty_database_only():
    with new_folder() as local_dir, empty_folder() as dumps, serve(local_dir):
        server = f"postgres://salesengine@//{socket_dir(local_dir)}"
        settings = {"PATH": f"{BINARIES}:{os.environ['PATH']}"}
        old, new = (production(f"{server}/{name}") | settings for name in ("salesengine", "other"))
        with connect_database(local_dir) as connection:
            connection.execute("CREATE DATABASE other")
        run_command(local_dir, "load_demo", "--sales=300", "--append", **old)

        with (dumps / ".new.dump").open("wb") as of_killed_process:
            dumped = run_command(local_dir, "backup", "--to", dumps, **old)
            of_killed_process.write(b"the rest" * 1_000)
        restored = run_command(local_dir, "restore", "--from", dumps, **new)
        verified = run_command(local_dir, "verify_feedback", **new)
        again = run_command(local_dir, "restore", "--from", dumps, **new)
        without_client = run_command(local_dir, "backup", "--to", dumps, **old | {"PATH": "/nowhere"})

        assert dumped.returncode == 0, dumped.stderr
        assert [path.name for path in dumps.glob("*.dump")] == [dumped.stdout.strip()]
        assert restored.returncode == 0, restored.stderr
        assert "agrees with all 300 sales" in verified.stderr
        assert (again.returncode, "has tables" in again.stderr) == (2, True)
        assert (without_client.returncode, "pg_dump is missing" in without_client.stderr) == (1, True)
