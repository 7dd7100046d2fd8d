"""In random histories of concurrent writes, voids, folds and reads, readers see only whole batches that are true."""

import datetime
import random
import threading
from dataclasses import dataclass, field

import pytest
from django.db import connection

from sales.ingest.writer import record_sales
from sales.models import LedgerEntry, Sale, VoidedSale
from sales.tests.helpers import sale_event
from sales.totals import feedback, folding, verification
from sales.totals.feedback import FeedbackQuery
from sales.totals.tests.helpers import void
from sales.totals.tests.threads import together

DAY = datetime.datetime(2021, 1, 7, tzinfo=datetime.UTC)
# All time, whole days, and a period that starts within a day, so that the sales themselves are read.
QUERIES = (
    FeedbackQuery(),
    FeedbackQuery(start=DAY),
    FeedbackQuery(start=DAY + datetime.timedelta(hours=12), stop=DAY + datetime.timedelta(days=2)),
)


@dataclass
class BatchHistory:
    """Batch i has i + 1 sales in each of two categories, with revenue 2**i, so that a sum shows its batches."""

    begun: set[int] = field(default_factory=set)
    committed: set[int] = field(default_factory=set)
    void_begun: set[int] = field(default_factory=set)
    voided: set[int] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    def write(self, rng: random.Random, numbers: list[int]) -> None:
        for number in numbers:
            self.begun.add(number)
            sale_ids = record_sales(batch(number, rng)).ids
            self.committed.add(number)
            if rng.random() < 0.3:
                self.void_begun.add(number)
                void(*sale_ids)
                self.voided.add(number)

    def fold_until(self, ended: threading.Event) -> None:
        while not ended.is_set():
            folding.fold()

    def read_until(self, ended: threading.Event, query: FeedbackQuery) -> None:
        while not ended.is_set():
            self.read(query)

    def read(self, query: FeedbackQuery) -> None:
        gone, before = set(self.voided), set(self.committed)
        rows = {row.category: row for row in feedback.top_categories(query)}
        going, after = set(self.void_begun), set(self.begun)
        seen = {category: batches_in(int(row.total_revenue)) for category, row in rows.items()}
        bags, shoes = (seen.get(category, set()) for category in ("bags", "shoes"))
        counts = [row.sales_count for row in rows.values()]
        if bags != shoes:
            self.faults.append(f"parts of batches: {bags} and {shoes}")
        elif counts != [sum(number + 1 for number in bags)] * len(counts):
            self.faults.append(f"{counts} sales of batches {bags}")
        elif not before - going <= bags <= after - gone:
            self.faults.append(f"saw {bags}, committed before {before}, begun {after}, voided {gone}, voiding {going}")


def batch(number: int, rng: random.Random) -> list:
    """Return a batch whose first sale has all of its revenue, paid in the afternoons of two days."""
    events = []
    for category in ("bags", "shoes"):
        revenues = [2**number] + [0] * number
        timestamps = [DAY + datetime.timedelta(days=rng.randrange(2), hours=rng.randrange(12, 24)) for _ in revenues]
        events += [
            sale_event(CATEGORY=category, REVENUE=revenue, DATE_PAYMENT=timestamp)
            for revenue, timestamp in zip(revenues, timestamps, strict=True)
        ]
    return events


def batches_in(revenue: int) -> set[int]:
    return {number for number in range(revenue.bit_length()) if revenue >> number & 1}


def run_history(seed: int) -> BatchHistory:
    rng = random.Random(seed)
    history, ended = BatchHistory(), threading.Event()
    numbers = list(range(12))
    rng.shuffle(numbers)
    writers = [(history.write, random.Random(seed * 10 + index), numbers[index::3]) for index in range(3)]
    readers = [(history.read_until, ended, query) for query in rng.sample(QUERIES, 2)]
    with together((history.fold_until, ended), *readers):
        try:
            with together(*writers):
                pass
        finally:
            ended.set()
    for query in QUERIES:
        history.read(query)
    return history


def assert_positions_are_dense():
    """Each entry begins where the one before it ends, and together they cover every change."""
    end = 0
    for position, accepted, voided in entries_in_order():
        end += accepted + voided
        assert position == end
    assert end == Sale.objects.count() + 2 * VoidedSale.objects.count()


def entries_in_order():
    return LedgerEntry.objects.order_by("position", "id").values_list("position", "accepted", "voided")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("histories", [30, pytest.param(200, marks=pytest.mark.slow)])
def test_readers_see_only_whole_committed_batches(histories):
    for seed in range(histories):
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE sales, voided_sale, ledger, feedback_daily_total, feedback_total")
            cursor.execute("TRUNCATE country_daily_total, country_day, country_total, ingest_minute")

        history = run_history(seed)

        assert history.faults == [], f"seed {seed}"
        assert history.committed == set(range(12))
        folding.fold_all()
        assert verification.verify() == []
        assert_positions_are_dense()
