"""Describe each backup in a manifest, and find backups in a folder.

FOLDER/20261128T174821Z/manifest.json      what the backup holds; the last file that is written
FOLDER/20261128T174821Z/data/              what pg_basebackup wrote, with PostgreSQL's own manifest
FOLDER/wal/                                the archived write-ahead log, if FOLDER is BACKUP_DIR
"""

import datetime
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import msgspec

from salesengine.operations.files import sha256_of
from salesengine.operations.progress import progress

MANIFEST = "manifest.json"
DATA = "data"
WAL = "wal"

# The number of sales and their exact revenue, by category. "" stands for no category.
FiguresByCategory = dict[str, tuple[int, Decimal]]


class BackupError(Exception):
    """A backup cannot be taken, read or restored. The message says why."""

    exit_code = 1


class BackupUsageError(BackupError):
    """The request cannot be fulfilled as it is, for example because the target folder is not empty."""

    exit_code = 2


class DamagedBackupError(BackupError):
    """A file of a backup or a restored figure is not as it was."""

    exit_code = 4


class Backup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The manifest of a backup. `parent` names the backup that an incremental one builds on."""

    name: str
    parent: str | None
    started_at: datetime.datetime
    finished_at: datetime.datetime
    postgresql: str
    version: str
    migrations: dict[str, str]  # the last migration of each app
    first_wal: str  # the first file of the write-ahead log that replaying needs
    bytes: int
    sha256: str  # of PostgreSQL's manifest, which has the SHA-256 of each file
    figures_at_start: FiguresByCategory
    figures_at_end: FiguresByCategory

    @property
    def kind(self) -> str:
        return "incremental" if self.parent else "full"


def write_manifest(path: Path, backup: Backup) -> None:
    with path.open("xb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(backup)) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_manifest(path: Path) -> Backup:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Backup)
    except ValueError as error:  # not such JSON, or not UTF-8
        raise DamagedBackupError(f"{path} is damaged: {error}") from None


def list_backups(folder: Path) -> list[Backup]:
    """Return the complete backups in a folder, from the oldest to the newest."""
    return [read_manifest(path) for path in sorted(folder.glob(f"[0-9]*/{MANIFEST}"))]


def newest_backup(folder: Path, at: datetime.datetime | None = None) -> Backup:
    """Return the newest backup, or the newest one that was complete at a time."""
    backups = list_backups(folder)
    if not backups:
        raise BackupUsageError(f"{folder} has no backup.")
    found = [backup for backup in backups if at is None or backup.finished_at <= at]
    if not found:
        first = f"{backups[0].finished_at:%Y-%m-%dT%H:%M:%SZ}"
        raise BackupUsageError(f"The oldest backup in {folder} was complete at {first}. Name a time from then on.")
    return found[-1]


def chain(folder: Path, backup: Backup) -> Sequence[Backup]:
    """Return a full backup and the incremental ones that lead to `backup`."""
    if backup.parent is None:
        return [backup]
    parent = folder / backup.parent / MANIFEST
    if not parent.exists():
        raise DamagedBackupError(f"The backup {backup.name} needs the backup {backup.parent}, which is missing.")
    return [*chain(folder, read_manifest(parent)), backup]


def check_files(folder: Path, backup: Backup) -> None:
    """Compare each file of a backup with its SHA-256. Raises DamagedBackupError with the files that differ.

    This is pg_verifybackup, which ends with a segmentation fault in the version of the private PostgreSQL. It does not
    cover pg_wal, whose records have checksums that PostgreSQL checks when it replays them.
    """
    data = folder / backup.name / DATA
    manifest = data / "backup_manifest"
    if not manifest.exists() or sha256_of(manifest) != backup.sha256:
        raise DamagedBackupError(f"{manifest} is damaged.")
    files = msgspec.json.decode(manifest.read_bytes())["Files"]
    damaged = []
    with progress(f"Checking the files of {backup.name}", len(files)) as advance:
        for file in files:
            path = data / (file["Path"] if "Path" in file else os.fsdecode(bytes.fromhex(file["Encoded-Path"])))
            if not path.exists() or sha256_of(path) != file["Checksum"]:
                damaged.append(str(path))
            advance(1)
    if damaged:
        raise DamagedBackupError("These files are damaged or missing:\n" + "\n".join(damaged))


@contextmanager
def locked(folder: Path, name: str = ".lock", what: str = "the backups") -> Iterator[None]:
    """Let one process at a time change what a folder has. Raises BackupError while another one does."""
    lock = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise BackupError(f"Another process is changing {what} in {folder}.") from None
    finally:
        os.close(lock)
