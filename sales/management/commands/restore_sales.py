from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from sales.archiving.moving import archive_lock
from sales.archiving.restoring import restore_month
from sales.models import ArchivedMonth, Sale
from sales.partitions.months import Month, month_argument
from salesengine.accounts.audit_log import record_command
from salesengine.backups.object_storage import folder_or_url
from salesengine.management.exit_codes import exit_codes
from salesengine.plurals import counted

HELP = """\
example: manage.py restore_sales --from s3://bucket/archive 2021-01

The sales get their old ids and times of receipt. The totals do not change, because they always counted these sales. The
files stay. Keep them as long as you have a backup from the time in which the month was archived: a database that is
restored from it needs them. Exports of all sales (export_sales) that were started while the month was archived lack its
sales: load its file, or export all sales again.

exit codes: 0 success, 1 failure, 2 usage error, such as a month that is not archived, 4 a file is damaged,
130 interrupted, 143 SIGTERM, 129 SIGHUP
"""


class Command(BaseCommand):
    help = "Bring the sales of an archived month back into the database."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = HELP
        parser.add_argument(
            "--from", dest="place", type=folder_or_url, required=True, metavar="DIR", help="the place of the files"
        )
        parser.add_argument("month", type=month_argument, metavar="MONTH", help="such as 2021-01")

    def handle(self, *args: Any, place: Path | str, month: Month, **options: Any) -> None:
        with exit_codes(), archive_lock():
            for part in restore_month(month, place):
                sales = counted(part.sales_count, "sale")
                record_command(Sale, f"Restored {sales} of {month} from {place}.")
                self.stderr.write(f"Restored {sales} of {month}, with revenue {part.revenue:f}.", str)
        self.stderr.write(
            f"Exports of all sales (export_sales) that were started while {month} was archived lack these sales: load "
            "the file of the month, or export all sales again.",
            str,
        )
        for part in ArchivedMonth.objects.filter(month=month.start.date()):
            self.stderr.write(f"Still archived: {counted(part.sales_count, 'sale')} of {month} in {part.url}.", str)
