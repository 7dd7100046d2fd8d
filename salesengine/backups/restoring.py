"""Restore a backup into a new LOCAL_DIR, and replay the archived write-ahead log up to a time."""

import datetime
import os
import re
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from django.utils import timezone

from salesengine.backups.manifests import (
    DATA,
    WAL,
    Backup,
    BackupError,
    BackupUsageError,
    chain,
    check_files,
    newest_backup,
)
from salesengine.backups.programs import run_with_progress
from salesengine.embedded.programs import BINARIES, EmbeddedServerError, give_to_system_user, grant_access, run, say
from salesengine.embedded.server import SERVER_OPTIONS, is_server

NEW_DATA = "postgres.new"
NEW_WAL = "wal.new"
RESTORE_COMMAND = f'[ -e "../{NEW_WAL}/%f.gz" ] && gzip -dc "../{NEW_WAL}/%f.gz" >"%p"'


def restore(folder: Path, local_dir: Path, at: datetime.datetime | None = None, *, replay: bool = True) -> Backup:
    """Restore the newest backup in `folder` that was complete at the time `at` (None: now). Return the backup.

    The archived log is then replayed up to `at`, or completely. Without `replay`, the state is that of the backup.
    If it fails, `local_dir` has no database. Raises BackupError.
    """
    folder, local_dir = folder.resolve(), local_dir.resolve()
    if local_dir.exists() and (not local_dir.is_dir() or any(local_dir.iterdir())):
        raise BackupUsageError(f"{local_dir} is not an empty folder. Name a new one.")
    if at and at > timezone.now():
        raise BackupUsageError(f"{_text(at)} has not come yet.")
    has_archive = (folder / WAL).is_dir()
    if at and not has_archive:
        raise BackupUsageError(f"{folder} has no archived log, so only the time of a backup can be restored.")
    backup = newest_backup(folder, at)
    backups = chain(folder, backup)
    for each in backups:
        check_files(folder, each)
    local_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        _combine(folder, backups, local_dir)
        if replay and has_archive:
            _copy_archive(folder / WAL, local_dir / NEW_WAL, backup.first_wal)
            _replay(local_dir, at)
        (local_dir / NEW_DATA).rename(local_dir / "postgres")
    finally:
        for leftover in (NEW_DATA, NEW_WAL):
            shutil.rmtree(local_dir / leftover, ignore_errors=True)
    return backup


def _combine(folder: Path, backups: Sequence[Backup], local_dir: Path) -> None:
    """Make one data directory from a full backup and the incremental ones after it."""
    if os.geteuid() == 0:
        grant_access(local_dir)
    new_data = local_dir / NEW_DATA
    run_with_progress(
        "Restoring",
        BINARIES / "pg_combinebackup",
        *(folder / each.name / DATA for each in backups),
        *("-o", new_data),
        growing=new_data,
        total=backups[0].bytes if len(backups) == 1 else None,
    )
    for socket_lock in new_data.glob(".s.PGSQL.*"):
        socket_lock.unlink()
    give_to_system_user(new_data, *new_data.rglob("*"))


def _copy_archive(archive: Path, target: Path, first_wal: str) -> None:
    """Copy the files of the log that replaying needs, so that the server can read them as another user too."""
    target.mkdir(mode=0o700)
    for file in archive.glob("[0-9A-F]*.gz"):
        # The names are timeline and position. Later timelines go on from earlier ones, and .history says where.
        if file.name.endswith(".history.gz") or file.name[8:24] >= first_wal[8:24]:
            shutil.copy(file, target)
    give_to_system_user(target, *target.iterdir())


def _replay(local_dir: Path, at: datetime.datetime | None) -> None:
    """Start a server that nobody can connect to. It replays the log and stops when it is done."""
    log = local_dir / NEW_DATA / "restore.log"
    log.touch(mode=0o600)
    signal = local_dir / NEW_DATA / "recovery.signal"
    signal.touch(mode=0o600)
    give_to_system_user(log, signal)
    options = SERVER_OPTIONS | {
        "unix_socket_directories": ".",  # in the data directory
        "hot_standby": "off",  # with it, the server would be ready before the end of the log
        "restore_command": f"'{RESTORE_COMMAND}'",
    }
    if at:
        options |= {"recovery_target_time": f"'{at.isoformat()}'", "recovery_target_action": "promote"}
    arguments = " ".join(f"-c {name}={value}" for name, value in options.items())
    server = (BINARIES / "pg_ctl", "-D", NEW_DATA, "-l", f"{NEW_DATA}/{log.name}", "-w", "-s")
    say("Replaying the archived log")
    try:
        with suppress(EmbeddedServerError):  # the log says what happened
            run(local_dir, *server, "start", "-o", arguments)
        _wait_until_ready(local_dir / NEW_DATA / "postmaster.pid", log, at)
    finally:
        if (local_dir / NEW_DATA / "postmaster.pid").exists():
            run(local_dir, *server, "stop", "-m", "fast", log=log)
    say(f"The log is replayed {_last_commit(log.read_text(errors='replace'))}")


def _wait_until_ready(pid_file: Path, log: Path, at: datetime.datetime | None) -> None:
    """Wait until the server has replayed the log. pg_ctl does not wait for that. Raises BackupError if it ends."""
    while True:
        try:
            words = pid_file.read_text().split()
            if words[-1:] == ["ready"]:
                return
            if words and not is_server(pid_file.parent, int(words[0])):
                pid_file.unlink()  # pg_ctl could not stop a dead server
                raise BackupError("PostgreSQL was killed while it replayed the log. The machine may lack memory.")
        except FileNotFoundError:
            text = log.read_text(errors="replace")
            if "recovery ended before configured recovery target was reached" in text:
                end = f"The archived log ends {_last_commit(text)}"
                message = f"{end}, before {_text(at)}. Leave out --at to restore its end."
                raise BackupError(message) from None
            raise BackupError(f"PostgreSQL cannot replay the log:\n{text[-2000:]}") from None
        time.sleep(0.1)


def _last_commit(log: str) -> str:
    """Say up to which transaction the server has replayed its log."""
    times = re.findall(r"last completed transaction was at log time (\S+ [\d:.]+)", log)
    return f"with the transaction of {times[-1]} UTC" if times else "without another transaction"


def _text(at: datetime.datetime | None) -> str:
    return at.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else ""
