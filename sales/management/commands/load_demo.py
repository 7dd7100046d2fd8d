from argparse import ArgumentParser, RawDescriptionHelpFormatter
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from time import monotonic
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from countries.loading import store_countries
from sales import demo
from sales.demo.data import DAYS
from sales.ingest.fields import accepted_period
from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.partitions.making import make_months
from sales.totals.folding import fold_all
from sales.totals.ledger import Origin
from salesengine.management.arguments import positive_number
from salesengine.operations.progress import progress
from salesengine.plurals import counted

BATCH = 5_000
EPILOG = """\
examples:
  manage.py load_demo --sales 1000000
  manage.py load_demo --sales 10000 --seed 2 --until 2021-06-30 --append

All sales are loaded, or none.

exit codes: 0 success, 1 failure, such as a database that has sales already, 2 invalid arguments, 130 interrupted,
143 SIGTERM, 129 SIGHUP
"""


class Command(BaseCommand):
    help = (
        "Load a demo marketplace: its countries, and sales paid in the 365 days until now. With --until, the same "
        "arguments always give the same sales."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EPILOG
        parser.add_argument(
            "--sales", type=positive_number, default=50_000, metavar="N", help="number of sales (default: %(default)s)"
        )
        parser.add_argument("--seed", type=int, default=1, help="another seed makes other sales (default: %(default)s)")
        parser.add_argument(
            "--until", type=day, metavar="DATE", help="the last day of the sales, such as 2021-06-30 (default: now)"
        )
        parser.add_argument("--append", action="store_true", help="load even if the database has sales already")

    def handle(self, *, sales: int, seed: int, until: date | None, append: bool, **options: Any) -> None:
        if Sale.objects.exists() and not append:
            raise CommandError(
                "The database has sales already. Demo sales would be mixed with them for good, because sales can be "
                "voided, but not deleted. Use --append to add them anyway."
            )
        start, end = monotonic(), _end_of(until)
        make_months((end - timedelta(days=number) for number in range(DAYS + 1)), patient=True)
        with transaction.atomic():  # all or nothing, because sales cannot be deleted
            store_countries(demo.countries())
            _load_sales(sales, seed, end)
        seconds = monotonic() - start
        self.stderr.write(
            f"Loaded {counted(sales, 'demo sale')} in {seconds:,.1f} s: {sales / seconds:,.0f} sales/s.", str
        )


def day(text: str) -> date:
    return date.fromisoformat(text)


def _end_of(until: date | None) -> datetime:
    """Return the end of a day, or the last full hour. Raises CommandError unless the year is in the accepted period."""
    if until is None:
        return timezone.now().replace(minute=0, second=0, microsecond=0)
    first, last = accepted_period()
    first, last = first + timedelta(days=DAYS - 1), min(last, date.max - timedelta(days=1))
    if not first <= until <= last:
        raise CommandError(
            f"--until must be from {first} to {last}, not {until}. EARLIEST_PAYMENT_DATE and MAX_PAYMENT_DAYS_AHEAD "
            "set this period, in which all sales must be paid."
        )
    return datetime.combine(until, time(), UTC) + timedelta(days=1)


def _load_sales(sales: int, seed: int, until: datetime) -> None:
    """Store the sales and fold them."""
    events = demo.generate_events(sales, seed, until)
    with progress("Loading sales", sales) as advance:
        while batch := list(islice(events, BATCH)):
            record_sales(batch, Origin(source="load_demo"))
            advance(len(batch))
    fold_all()
