"""Dump and restore the database of DATABASE_URL with the PostgreSQL client programs of this machine."""

import os
import shutil
import subprocess
from pathlib import Path

from django.db import connection
from django.utils import timezone
from psycopg.conninfo import make_conninfo

from salesengine.backups.manifests import BackupError, BackupUsageError, locked
from salesengine.environment import NETWORK_OPTIONS

SUFFIX = ".dump"
DRAFT = ".new.dump"
LOCK_TIMEOUT = "60s"  # for a table that somebody changes


def take_dump(folder: Path, keep: int | None = None) -> Path:
    """Dump the database into a new file in `folder`, and return it. Then delete all but the newest `keep` dumps.

    The dump is one snapshot, and is taken while sales arrive. Raises BackupError.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(folder):
        draft, dump = folder / DRAFT, folder / f"{timezone.now():%Y%m%dT%H%M%SZ}{SUFFIX}"
        draft.unlink(missing_ok=True)  # the pg_dump of a killed process may still write to it
        try:
            _run_client("pg_dump", "--format=custom", f"--file={draft}", f"--lock-wait-timeout={LOCK_TIMEOUT}")
            draft.chmod(0o600)
            draft.rename(dump)
        finally:
            draft.unlink(missing_ok=True)
        for old in _dumps(folder)[: -keep if keep else 0]:
            old.unlink()
    return dump


def restore_dump(folder: Path) -> Path:
    """Restore the newest dump in `folder` into the empty database of DATABASE_URL, in one transaction. Return it."""
    dumps = _dumps(folder)
    if not dumps:
        raise BackupUsageError(f"{folder} has no dump.")
    with connection.cursor() as cursor:
        if connection.introspection.table_names(cursor):
            raise BackupUsageError("The database of DATABASE_URL has tables. Name an empty database.")
    _run_client("pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", "--no-acl", str(dumps[-1]))
    return dumps[-1]


def _dumps(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"[0-9]*{SUFFIX}"))


def _run_client(program: str, *options: str) -> None:
    """Run a client program on the database of DATABASE_URL. Passwords and TLS options go through its environment."""
    path = shutil.which(program)
    if path is None:
        raise BackupError(f"{program} is missing. Install PostgreSQL's client programs (Debian: postgresql-client).")
    arguments, environment = connection.client.settings_to_cmd_args_env(connection.settings_dict, [])
    name = connection.settings_dict["NAME"]  # empty if a service file has it
    server = arguments[1:-1] if name else arguments[1:]  # those of psql, without the name
    network = {option: connection.settings_dict["OPTIONS"][option] for option in NETWORK_OPTIONS}
    finished = subprocess.run(
        [path, *server, f"--dbname={make_conninfo(dbname=name or None, **network)}", *options],
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
    )
    if finished.returncode != 0:
        raise BackupError(f"{program} failed:\n{finished.stderr.strip()}")
