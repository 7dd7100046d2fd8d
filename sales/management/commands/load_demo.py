import time
from argparse import ArgumentParser
from itertools import islice
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from countries.loading import store_countries
from sales import demo
from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.totals import country_folding, feedback_folding
from salesengine.operations.progress import progress
from salesengine.plurals import counted

BATCH = 5_000


class Command(BaseCommand):
    help = (
        "Load a demo marketplace: its countries, and sales paid from July 2020 to June 2021. The same arguments "
        "always give the same sales. Example: manage.py load_demo --sales 1000000"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--sales", type=int, default=50_000, metavar="N", help="number of sales (default: %(default)s)"
        )
        parser.add_argument("--seed", type=int, default=1, help="another seed makes other sales (default: %(default)s)")
        parser.add_argument("--append", action="store_true", help="load even if the database has sales already")

    def handle(self, *, sales: int, seed: int, append: bool, **options: Any) -> None:
        if sales < 1:
            raise CommandError(f"--sales must be at least 1, not {sales}.")
        if Sale.objects.exists() and not append:
            raise CommandError(
                "The database has sales already. Demo sales would be mixed with them for good, because sales can never "
                "be deleted. Use --append to add them anyway."
            )
        start = time.monotonic()
        with transaction.atomic():  # all or nothing, because sales cannot be deleted
            store_countries(demo.countries())
            _load_sales(sales, seed)
        seconds = time.monotonic() - start
        self.stderr.write(
            f"Loaded {counted(sales, 'demo sale')} in {seconds:,.1f} s: {sales / seconds:,.0f} sales/s.", str
        )


def _load_sales(sales: int, seed: int) -> None:
    """Store the sales and fold all journal entries."""
    events = demo.generate_events(sales, seed)
    with progress("Loading sales", sales) as advance:
        while batch := list(islice(events, BATCH)):
            record_sales(batch)
            advance(len(batch))
    while feedback_folding.fold():
        pass
    while country_folding.fold():
        pass
