"""Installations of the service: on its private PostgreSQL, and on a new database of the cluster."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from salesengine.tests.environments import SECRET
from salesengine.tests.servers import PASSWORD, ROOT, empty_folder, serve

WORKERS = "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid > 0 ORDER BY groupid"
COORDINATOR = "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid = 0"


@dataclass
class Installation:
    """The service in one folder with these settings."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Return the environment of a command."""
        local = {"LOCAL_DIR": str(self.folder), "ENV_FILE": os.devnull, "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
        return os.environ | local | self.settings

    def manage(self, *command: str) -> str:
        """Run a manage.py command. Return its exit code and everything that it prints."""
        finished = subprocess.run(
            [sys.executable, "manage.py", *command], env=self.environment(), cwd=ROOT, capture_output=True, text=True
        )
        return f"{finished.stdout}{finished.stderr}exit code {finished.returncode}\n"

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Run the service. Yields its URL."""
        # Some pages list the names of a set, whose order depends on the hashes of texts.
        with serve(self.folder, PYTHONHASHSEED="0", **self.settings) as url:
            yield url


@contextmanager
def on_private_database() -> Iterator[Installation]:
    with empty_folder() as folder:
        yield Installation(folder)


@contextmanager
def on_cluster() -> Iterator[Installation]:
    """Yield an installation on a new database of the cluster. Nothing is distributed yet."""
    with empty_folder() as folder, new_database(f"salesengine_{os.getpid()}") as url:
        settings = {"DATABASE_URL": url, "SECRET_KEY": SECRET, "ALLOWED_HOSTS": "*", "API_KEY_REQUIRED": "false"}
        yield Installation(folder, settings)


@contextmanager
def new_database(name: str) -> Iterator[str]:
    """Create a database on all nodes of the cluster, join them there, and yield its URL."""
    url = os.environ["CITUS_URL"]
    with psycopg.connect(url) as connection:
        [coordinator] = connection.execute(COORDINATOR)
        workers = list(connection.execute(WORKERS))
    nodes = [url, *(_with(url, netloc=_netloc(url, *worker)) for worker in workers)]
    try:
        for node in nodes:
            _execute(node, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            _execute(_with(node, path=name), "CREATE EXTENSION citus")
        database = _with(url, path=name)
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("SELECT citus_set_coordinator_host(%s, %s)", coordinator)
            for worker in workers:
                connection.execute("SELECT citus_add_node(%s, %s)", worker)
        yield database
    finally:
        for node in nodes:
            with suppress(psycopg.Error):
                _execute(node, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _execute(url: str, statement: str | sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[arg-type]


def _netloc(url: str, host: str, port: int) -> str:
    user = urlsplit(url).netloc.rpartition("@")[0]
    return f"{user}@{host}:{port}"


def _with(url: str, **parts: str) -> str:
    return urlunsplit(urlsplit(url)._replace(**parts))
