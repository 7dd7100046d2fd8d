"""Take backups of the running private database, and delete old ones."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from salesengine.backups.manifests import (
    DATA,
    MANIFEST,
    WAL,
    Backup,
    BackupUsageError,
    FiguresByCategory,
    list_backups,
    locked,
    newest_backup,
    write_manifest,
)
from salesengine.backups.programs import folder_size, run_with_progress
from salesengine.embedded import server as embedded
from salesengine.embedded.programs import BINARIES, run
from salesengine.operations.files import sha256_of, sync

DRAFT = ".new"  # the suffix of an unfinished backup
REMOVED = ".old"  # was a backup


def take_backup(
    folder: Path, figures: Callable[[], FiguresByCategory], *, max_rate: int, incremental: bool = False
) -> Backup:
    """Back up the private database into a new folder in `folder`, while sales arrive, at `max_rate` MB/s at most.

    `figures` reads the figures of all sales, before and after: if they are the same, the backup must have them too.
    """
    folder = folder.resolve()
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)  # 711: PostgreSQL's user passes through to the archive
    with locked(folder):
        _remove_leftovers(folder)
        parent = newest_backup(folder) if incremental else None
        started_at, figures_at_start = timezone.now(), figures()
        draft = folder / f".{started_at:%Y%m%dT%H%M%S.%fZ}{DRAFT}"  # a killed backup may still copy into its own
        try:
            draft.mkdir(mode=0o700)
            _copy_database(draft / DATA, folder / parent.name / DATA if parent else None, max_rate)
            backup = Backup(
                name=f"{started_at:%Y%m%dT%H%M%SZ}",
                parent=parent.name if parent else None,
                started_at=started_at,
                finished_at=timezone.now(),
                postgresql=_server_version(),
                version=str(settings.SPECTACULAR_SETTINGS["VERSION"]),
                migrations=applied_migrations(),
                first_wal=_first_wal(draft / DATA),
                bytes=folder_size(draft / DATA),
                sha256=sha256_of(draft / DATA / "backup_manifest"),
                figures_at_start=figures_at_start,
                figures_at_end=figures(),
            )
            write_manifest(draft / MANIFEST, backup)
            draft.rename(folder / backup.name)
        finally:
            _remove_leftovers(folder)
        sync(folder)
    return backup


def _copy_database(target: Path, parent: Path | None, max_rate: int) -> None:
    """Run pg_basebackup. It syncs its files, and adds the write-ahead log that makes the copy consistent."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT SUM(pg_database_size(oid))::bigint, current_setting('summarize_wal') FROM pg_database")
        size, summarizes = cursor.fetchone()
    if parent and summarizes == "off":
        raise BackupUsageError("Incremental backups need BACKUP_DIR. Set it, and start the service again.")
    options = [f"--incremental={parent / 'backup_manifest'}"] if parent else []
    server = ("-h", str(embedded.socket_dir(settings.LOCAL_DIR)), "-p", str(embedded.PORT), "-U", embedded.DATABASE)
    run_with_progress(
        "Backing up",
        *(BINARIES / "pg_basebackup", *server, "-D", target, "--checkpoint=fast", "--manifest-checksums=SHA256"),
        *(f"--max-rate={max_rate}M", *options),
        growing=target,
        total=None if parent else size,
    )


def _server_version() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        return str(cursor.fetchone()[0])


def applied_migrations() -> dict[str, str]:
    """Return the last applied migration of each app."""
    return dict(sorted(MigrationRecorder(connection).applied_migrations()))


def _first_wal(data: Path) -> str:
    match = re.search(r"\(file ([0-9A-F]{24})\)", (data / "backup_label").read_text())
    assert match
    return match[1]


def _remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left behind. Its copying program then fails, if it still runs."""
    for leftover in (*folder.glob(f".*{DRAFT}"), *folder.glob(f".*{REMOVED}")):
        shutil.rmtree(leftover, ignore_errors=True)


def delete_old_backups(folder: Path, keep: int) -> list[Backup]:
    """Keep the newest `keep` full backups with their incremental ones. Return the deleted ones.

    It also deletes the archived write-ahead log from before the oldest backup that is left.
    """
    folder = folder.resolve()
    with locked(folder):
        backups = list_backups(folder)
        oldest = [backup for backup in backups if backup.parent is None][-keep:][0]
        deleted = [backup for backup in backups if backup.name < oldest.name]
        for backup in reversed(deleted):  # an incremental backup before the one that it builds on
            removed = folder / f".{backup.name}{REMOVED}"
            (folder / backup.name).rename(removed)  # at once, so that nothing half deleted looks complete
            shutil.rmtree(removed)
        if (folder / WAL).is_dir():
            run(folder, BINARIES / "pg_archivecleanup", "-x", ".gz", WAL, oldest.first_wal)
    return deleted
