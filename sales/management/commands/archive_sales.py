import datetime
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from sales.archiving.moving import archive_lock, archive_month, months_with_sales, partition_of
from sales.archiving.writing import sales_of
from sales.models import Sale
from sales.partitions.months import Month, month_argument
from salesengine.accounts.audit_log import record_command
from salesengine.backups.manifests import BackupUsageError
from salesengine.backups.object_storage import folder_or_url
from salesengine.management.exit_codes import exit_codes
from salesengine.plurals import counted

HELP = """\
examples:
  manage.py archive_sales --before 2022-01 --to /mnt/archive --dry-run
  manage.py archive_sales --before 2022-01 --to s3://bucket/archive

Each month becomes a Parquet file with a manifest, which is compared with the sales before they leave the database.
Clients may send sales meanwhile. After an interruption, run the command again. restore_sales brings a month back.

exit codes: 0 success, 1 failure, 2 usage error, 4 a file was read back with other contents,
130 interrupted, 143 SIGTERM, 129 SIGHUP
"""


class Command(BaseCommand):
    help = "Move the sales of old months to files, one month after the other. Totals still count them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = HELP
        parser.add_argument(
            "--before", type=month_argument, required=True, metavar="MONTH", help="archive the months before, in UTC"
        )
        parser.add_argument(
            "--to", type=folder_or_url, required=True, metavar="DIR", help="a folder, or s3://, gs:// or az://"
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be archived, and change nothing")

    def handle(self, *args: Any, before: Month, to: Path | str, dry_run: bool, **options: Any) -> None:
        urls: list[str] = []
        try:
            with exit_codes():
                if before.start > datetime.datetime.now(datetime.UTC):
                    raise BackupUsageError(f"{before} has not begun, so the month before it has not ended.")
                if dry_run:
                    for month in months_with_sales(before):
                        sales = counted(sales_of(month).count(), "sale")
                        self.stderr.write(f"Would archive {sales} of {month}, {_removal(month)}.", str)
                    return
                with archive_lock():
                    for month in months_with_sales(before):
                        urls.append(self._archive(month, to))  # noqa: PERF401  # keeps those before a failure
        except BaseException:
            with suppress(OSError):  # the failure says more
                self._write(urls)
            raise
        self._write(urls)  # at the end, so that standard output that cannot be written stops no month

    def _write(self, urls: Sequence[str]) -> None:
        for url in urls:
            self.stdout.write(url)

    def _archive(self, month: Month, place: Path | str) -> str:
        removal = _removal(month)
        record = archive_month(month, place)
        sales = counted(record.sales_count, "sale")
        record_command(Sale, f"Archived {sales} of {month} to {record.url}.")
        self.stderr.write(f"Archived {sales} of {month}, with revenue {record.revenue:f}, {removal}.", str)
        return record.url


def _removal(month: Month) -> str:
    """Say how the sales leave the database."""
    table = partition_of(month)
    if table == month.table:
        return f"by dropping the partition {table}"
    return f"by deleting them from {table}, because the month has no partition of its own"
