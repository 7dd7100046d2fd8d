"""Load demo sales that are spread over many months: `python -m benchmarks.spread_sales SALES MONTHS`.

The sales are those of load_demo, paid until 30 June 2021 (UTC), with longer times between them.
"""

import os
from argparse import ArgumentParser
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:
    from sales.ingest.fields import SaleEvent

BATCH = 5_000
YEAR = 12  # months of load_demo


def spread_events(sales: int, months: int) -> Iterator["SaleEvent"]:
    from sales.demo import generate_events  # needs Django set up
    from sales.demo.data import UNTIL

    for event in generate_events(sales, seed=1):
        yield {**event, "DATE_PAYMENT": UNTIL - (UNTIL - event["DATE_PAYMENT"]) * months / YEAR}


def load(sales: int, months: int) -> None:
    from countries.loading import store_countries
    from sales import demo
    from sales.ingest.writer import record_sales
    from sales.partitions.making import make_months
    from sales.totals.folding import fold_all
    from sales.totals.ledger import Origin

    store_countries(demo.countries())
    events = spread_events(sales, months)
    while batch := list(islice(events, BATCH)):
        make_months({event["DATE_PAYMENT"].date() for event in batch}, patient=True)
        record_sales(batch, Origin(source="spread_sales"))
    fold_all()


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("sales", type=int)
    parser.add_argument("months", type=int)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "salesengine.settings")
    django.setup()
    load(options.sales, options.months)
