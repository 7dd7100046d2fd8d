from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from sales.totals.feedback import figures_by_category
from salesengine.backups.dumps import take_dump
from salesengine.backups.exit_codes import EXIT_CODES, exit_codes
from salesengine.backups.manifests import BackupUsageError
from salesengine.plurals import counted


class Command(BaseCommand):
    help = (
        "Back up the database while the service runs. The name of the new backup goes to standard output. A backup is "
        "complete or absent, and an existing one is never overwritten. With DATABASE_URL, it is a dump by pg_dump."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXIT_CODES
        parser.add_argument("--to", type=Path, metavar="DIR", help="the folder of the backups; default: BACKUP_DIR")
        parser.add_argument("--incremental", action="store_true", help="copy only what the newest backup lacks")
        parser.add_argument(
            "--keep", type=_positive, metavar="N", help="keep the newest N full backups, and delete what is older"
        )

    def handle(self, *args: Any, to: Path | None, incremental: bool, keep: int | None, **options: Any) -> None:
        folder = to or settings.BACKUP_DIR
        if folder is None:
            raise CommandError("Name a folder with --to, or set BACKUP_DIR.", returncode=2)
        with exit_codes():
            if not settings.IS_LOCAL:
                self._dump(folder, incremental, keep)
                return
            # Its programs are not installed where DATABASE_URL is set, such as in the Docker image.
            from salesengine.backups.taking import delete_old_backups, take_backup

            backup = take_backup(folder, figures_by_category, incremental=incremental)
            self.stdout.write(backup.name)
            sales = counted(sum(count for count, _ in backup.figures_at_end.values()), "sale")
            self.stderr.write(f"Backed up {sales} to {folder} ({backup.kind}, {backup.bytes / 1e6:,.0f} MB).", str)
            if keep:
                deleted = delete_old_backups(folder, keep)
                self.stderr.write(f"Deleted {counted(len(deleted), 'older backup')}.", str)

    def _dump(self, folder: Path, incremental: bool, keep: int | None) -> None:
        if incremental:
            raise BackupUsageError("With DATABASE_URL, a backup is a dump, which is always full.")
        dump = take_dump(folder, keep)
        self.stdout.write(dump.name)
        self.stderr.write(f"Dumped the database to {dump} ({dump.stat().st_size / 1e6:,.0f} MB).", str)


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)
