from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from sales.totals.feedback import figures_by_category
from salesengine.backups.dumps import take_dump
from salesengine.backups.manifests import Backup, BackupUsageError
from salesengine.backups.object_storage import delete_old_uploads, folder_or_url, list_uploads, temporary_folder, upload
from salesengine.management.arguments import positive_number
from salesengine.management.exit_codes import EXIT_CODES, exit_codes
from salesengine.operations.last_backup import record_backup
from salesengine.plurals import counted

DEFAULT_RATE, MAX_RATE = 16, 1024  # MB/s


class Command(BaseCommand):
    help = (
        "Back up the database while the service runs. The name of the new backup goes to standard output. A backup is "
        "complete or absent, and an existing one is never overwritten. With DATABASE_URL, it is a dump by pg_dump."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXIT_CODES
        parser.add_argument(
            "--to", type=folder_or_url, metavar="DIR", help="a folder, or s3://, gs:// or az://; default: BACKUP_DIR"
        )
        parser.add_argument("--incremental", action="store_true", help="copy only what the newest backup lacks")
        parser.add_argument(
            "--max-rate",
            type=_rate,
            default=DEFAULT_RATE,
            metavar="MB",
            help=f"copy at most this much a second, up to {MAX_RATE}, to leave processors and disk to the service; "
            "default: %(default)s",
        )
        parser.add_argument(
            "--keep", type=positive_number, metavar="N", help="keep the newest N full backups, and delete what is older"
        )

    def handle(
        self,
        *args: Any,
        to: Path | str | None,
        incremental: bool,
        max_rate: int,
        keep: int | None,
        **options: Any,
    ) -> None:
        folder = to or settings.BACKUP_DIR
        if folder is None:
            raise CommandError("Name a folder with --to, or set BACKUP_DIR.", returncode=2)
        with exit_codes():
            if isinstance(folder, str) and (incremental or not settings.IS_LOCAL):
                raise BackupUsageError("An object store takes only full backups of the private database.")
            if isinstance(folder, Path) and not settings.IS_LOCAL:
                name = self._dump(folder, incremental, keep)
            else:
                name = self._back_up(folder, incremental, max_rate, keep)
        self.stdout.write(name)

    def _back_up(self, folder: Path | str, incremental: bool, max_rate: int, keep: int | None) -> str:
        if isinstance(folder, str):
            list_uploads(folder)  # a wrong address fails now, not after the copy
        place = nullcontext(folder) if isinstance(folder, Path) else temporary_folder()
        with place as local:
            backup = self._take(local, incremental, max_rate)
            if isinstance(folder, str):
                upload(local, backup, folder)
        record_backup(backup.finished_at, str(folder))
        sales = counted(sum(count for count, _ in backup.figures_at_end.values()), "sale")
        self.stderr.write(f"Backed up {sales} to {folder} ({backup.kind}, {backup.bytes / 1e6:,.0f} MB).", str)
        if keep:
            self._delete_old(folder, keep)
        return backup.name

    def _take(self, folder: Path, incremental: bool, max_rate: int) -> Backup:
        # Its programs are not installed where DATABASE_URL is set, such as in the Docker image.
        from salesengine.backups.taking import take_backup

        return take_backup(folder, figures_by_category, max_rate=max_rate, incremental=incremental)

    def _delete_old(self, folder: Path | str, keep: int) -> None:
        from salesengine.backups.taking import delete_old_backups

        if isinstance(folder, str):
            number = len(delete_old_uploads(folder, keep))
        else:
            number = len(delete_old_backups(folder, keep))
        self.stderr.write(f"Deleted {counted(number, 'older backup')}.", str)

    def _dump(self, folder: Path, incremental: bool, keep: int | None) -> str:
        if incremental:
            raise BackupUsageError("With DATABASE_URL, a backup is a dump, which is always full.")
        dump = take_dump(folder, keep)
        self.stderr.write(f"Dumped the database to {dump} ({dump.stat().st_size / 1e6:,.0f} MB).", str)
        return dump.name


def _rate(text: str) -> int:
    rate = positive_number(text)
    if rate > MAX_RATE:
        raise ArgumentTypeError(f"{text!r} is more than {MAX_RATE}, the maximum of pg_basebackup")
    return rate
