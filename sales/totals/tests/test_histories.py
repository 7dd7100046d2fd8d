"""In random histories of writes, corrections, folds, archives and reads, readers see only whole, true batches."""

import datetime
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from sales.archiving.moving import archive_month
from sales.archiving.restoring import restore_month
from sales.corrections.tests.helpers import replace, void
from sales.corrections.tests.test_api import send
from sales.ingest.writer import record_sales
from sales.models import ArchivedMonth, DailyTotal, LedgerEntry, Sale, VoidedSale
from sales.partitions.months import Month
from sales.tests.helpers import sale_event
from sales.totals import feedback, folding, verification
from sales.totals.country_totals import figures_by_country
from sales.totals.feedback import FeedbackQuery
from sales.totals.ledger import Origin
from sales.totals.tests.helpers import country_sales
from sales.totals.tests.threads import together
from salesengine.backups.manifests import BackupError
from salesengine.http.errors import SalesArchived

DAY = datetime.datetime(2021, 1, 7, tzinfo=datetime.UTC)
MONTH = Month.of(DAY)
ARCHIVE_EACH = 20  # histories: archives take most of the time
# All time, whole days, and a period that starts within a day, so that the sales themselves are read.
QUERIES = (
    FeedbackQuery(),
    FeedbackQuery(start=DAY),
    FeedbackQuery(start=DAY + datetime.timedelta(hours=12), stop=DAY + datetime.timedelta(days=2)),
)
BATCHES = 5  # in a history
LAST = 3 * BATCHES  # versions: each batch can be replaced twice
COLUMNS = ("id_order", "category", "revenue", "seller_country_id", "buyer_country_id", "date_payment")
TABLES = (
    *("sales", "voided_sale", "event_ids", "ledger", "feedback_daily_total", "feedback_total"),
    *("country_daily_total", "country_day", "country_total", "ingest_minute", "archived_month"),
)
ANONYMOUS = Origin("anonymous", "r-1")  # the sender of the requests too, so that they may name the EVENT_IDs

Event = dict[str, Any]


@dataclass
class Version:
    """One version of a batch. Version 3 belongs to batch 3, and so do the versions 8 and 13 that replace it.

    It has as many sales in each of two categories as its batch, plus one, and the revenue 2**number.
    """

    number: int
    events: list[Event]
    ids: list[int] = field(default_factory=list)

    @classmethod
    def draw(cls, number: int, rng: random.Random) -> "Version":
        """Return a version whose first sales have all of its revenue, paid in the afternoons of two days."""
        revenues = [2**number] + [0] * (number % BATCHES)
        events = [
            {
                "ID_ORDER": str(number),
                "CATEGORY": category,
                "REVENUE": revenue,
                "ID_SELLER_COUNTRY": rng.choice("123"),
                "DATE_PAYMENT": (DAY + datetime.timedelta(hours=rng.choice((12, 23, 36, 47)))).isoformat(),
            }
            for category in ("bags", "shoes")
            for revenue in revenues
        ]
        return cls(number, events)

    def selectors(self, rng: random.Random) -> Iterator[Event]:
        """Say which sales to correct. Those of half of the batches have an EVENT_ID, which replacements keep."""
        for index, sale_id in enumerate(self.ids):
            event_id = self.event_id(index)
            yield {"EVENT_ID": event_id} if event_id and rng.random() < 0.5 else {"ID": sale_id}

    def event_id(self, index: int) -> str | None:
        batch = self.number % BATCHES
        return f"{batch}-{index}" if batch % 2 else None


@dataclass
class BatchHistory:
    """What happened to the versions, by number. The revenue of a reader shows which of them it saw."""

    begun: set[int] = field(default_factory=set)
    committed: set[int] = field(default_factory=set)
    void_begun: set[int] = field(default_factory=set)
    voided: set[int] = field(default_factory=set)
    leaving: set[int] = field(default_factory=set)  # batches that are voided, and not replaced
    versions: dict[int, Version] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def write(self, rng: random.Random, numbers: list[int]) -> None:
        client = APIClient()
        for number in numbers:
            version = self.versions[number] = Version.draw(number, rng)
            events = [
                sale_event(**event, EVENT_ID=version.event_id(index)) for index, event in enumerate(version.events)
            ]
            self.begun.add(number)
            version.ids = list(record_sales(events, ANONYMOUS).ids)
            self.committed.add(number)
            while version.number + BATCHES < LAST and rng.random() < 0.5:
                version = self.replace(client, version, rng)
            if rng.random() < 0.3:
                self.leaving.add(number)
                self.correct(client, version, [void(**which) for which in version.selectors(rng)], rng)

    def replace(self, client: APIClient, old: Version, rng: random.Random) -> Version:
        new = self.versions[old.number + BATCHES] = Version.draw(old.number + BATCHES, rng)
        corrections = [replace(event, **which) for event, which in zip(new.events, old.selectors(rng), strict=True)]
        self.begun.add(new.number)
        new.ids = self.correct(client, old, corrections, rng)
        self.committed.add(new.number)
        return new

    def correct(self, client: APIClient, version: Version, corrections: list[Event], rng: random.Random) -> list[int]:
        """Correct all sales of a version, sometimes twice. Return the ids of their replacements."""
        self.void_begun.add(version.number)
        while "sales-archived" in (response := send(client, corrections)).content.decode():
            time.sleep(0.02)  # until they are back
        self.voided.add(version.number)
        assert response.status_code == 200, response.content
        if rng.random() < 0.3:
            assert send(client, corrections).status_code == 409
        return [result["replaced_by"] for result in response.json()["results"]]

    def fold_until(self, ended: threading.Event) -> None:
        while not ended.wait(0.02):
            folding.fold()

    def archive_until(self, ended: threading.Event, place: Path) -> None:
        """Archive the month and bring it back, again and again. Some archives fail, because sales keep coming in."""
        while not ended.is_set():
            with suppress(BackupError):
                archive_month(MONTH, place)
            if not ended.is_set():
                with suppress(BackupError):
                    restore_month(MONTH, place)

    def read_until(self, ended: threading.Event, query: FeedbackQuery) -> None:
        while not ended.wait(0.02):
            self.read(query)

    def read(self, query: FeedbackQuery) -> None:
        gone, before = set(self.voided), set(self.committed)
        try:
            rows = {row.category: row for row in feedback.top_categories(query)}
        except SalesArchived:
            return  # the period divides a day
        going, leaving, after = set(self.void_begun), set(self.leaving), set(self.begun)
        seen = {category: versions_in(int(row.total_revenue)) for category, row in rows.items()}
        bags, shoes = (seen.get(category, set()) for category in ("bags", "shoes"))
        counts = [row.sales_count for row in rows.values()]
        batches = Counter(number % BATCHES for number in bags)
        if bags != shoes:
            self.faults.append(f"parts of versions: {bags} and {shoes}")
        elif counts != [sum(number % BATCHES + 1 for number in bags)] * len(counts):
            self.faults.append(f"{counts} sales of versions {bags}")
        elif not before - going <= bags <= after - gone:
            self.faults.append(f"saw {bags}, committed before {before}, begun {after}, voided {gone}, voiding {going}")
        elif batches.keys() != batches.keys() | {number % BATCHES for number in before} - leaving:
            self.faults.append(f"saw {bags}, without a version of each of the batches of {before} except {leaving}")
        elif batches.total() > len(batches):
            self.faults.append(f"saw {bags}, with two versions of a batch")


def versions_in(revenue: int) -> set[int]:
    return {number for number in range(revenue.bit_length()) if revenue >> number & 1}


@dataclass
class Copy:
    """What a program holds that follows GET /changes."""

    rng: random.Random
    position: int = 0
    sales: dict[int, Event] = field(default_factory=dict)  # by id
    is_complete: bool = True  # no change was archived

    def follow_until(self, ended: threading.Event) -> None:
        while not ended.wait(0.02):
            self.read()

    def read(self) -> bool:
        """Read a page. Return whether there are more."""
        query = {"after": self.position, "limit": self.rng.choice((1, 3, 10, 1_000))}
        page = APIClient().get("/changes", query).json()
        for change in page["results"]:
            self.position += 1
            assert change["position"] == self.position
            if change["kind"] == "archived":
                self.is_complete = False
            if change["kind"] == "void":
                del self.sales[change["ID"]]
            else:
                assert change["ID"] not in self.sales
                self.sales[change["ID"]] = change
        return page["has_more"]


def run_history(seed: int, place: Path | None) -> tuple[BatchHistory, Copy]:
    rng = random.Random(seed)
    history, copy, ended = BatchHistory(), Copy(random.Random(seed)), threading.Event()
    numbers = list(range(BATCHES))
    rng.shuffle(numbers)
    writers = [(history.write, random.Random(seed * 10 + index), numbers[index::3]) for index in range(3)]
    readers = [(history.read_until, ended, query) for query in rng.sample(QUERIES, 2)]
    archivers = [(history.archive_until, ended, place)] if place else []
    with together((history.fold_until, ended), (copy.follow_until, ended), *readers, *archivers):
        try:
            with together(*writers):
                pass
        finally:
            ended.set()
    if place and ArchivedMonth.objects.exists():
        restore_month(MONTH, place)
    for query in QUERIES:
        history.read(query)
    if not copy.is_complete:
        copy = Copy(copy.rng)
    while copy.read():
        pass
    return history, copy


def recount(history: BatchHistory) -> list[Event]:
    """Return the events that are true, as the requests said."""
    true = history.committed - history.voided
    return [sale_event(**event) for number in true for event in history.versions[number].events]


def assert_everything_is(events: list[Event], copy: Copy) -> None:
    """Compare the sales, every total, and the copy with these events, added up in plain Python."""
    names = ("ID_ORDER", "CATEGORY", "REVENUE", "ID_SELLER_COUNTRY", "ID_BUYER_COUNTRY", "DATE_PAYMENT")
    expected = sorted(tuple(event[name] for name in names) for event in events)
    assert sorted(Sale.objects.values_list(*COLUMNS)) == expected
    ids = set(Sale.objects.values_list("id", flat=True))
    assert copy.sales.keys() == ids
    copied = [sale_event(**{name: change[name] for name in names}) for change in copy.sales.values()]
    assert sorted(tuple(event[name] for name in names) for event in copied) == expected

    categories, days, pairs, sold, bought = (Figures() for _ in range(5))
    for _, category, revenue, seller, buyer, paid_at in expected:
        categories.add(category, revenue)
        days.add((category, paid_at.date()), revenue)
        pairs.add((f"{paid_at:%m-%d}", seller, buyer), revenue)
        sold.add(seller, revenue)
        bought.add(buyer, revenue)
    assert {key: sums for key, sums in feedback.figures_by_category().items() if any(sums)} == categories
    rows = DailyTotal.objects.values_list("category", "day", "sales_count", "revenue")
    assert {(category, day): (count, revenue) for category, day, count, revenue in rows if count} == days
    assert {key: sums for key, sums in country_sales().items() if any(sums)} == pairs
    countries = figures_by_country().unnamed.items()
    assert {country: row[:2] for country, row in countries if row.sold_count} == sold
    assert {country: row[2:] for country, row in countries if row.bought_count} == bought


class Figures(dict):
    """Numbers of sales and their revenue, by any key."""

    def add(self, key: Any, revenue: Any) -> None:
        count, total = self.get(key, (0, 0))
        self[key] = (count + 1, total + revenue)


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
@pytest.mark.parametrize("histories", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_readers_see_only_whole_committed_batches(histories, tmp_path):
    for seed in range(histories):
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {', '.join(TABLES)}")

        history, copy = run_history(seed, None if seed % ARCHIVE_EACH else tmp_path)

        assert history.faults == [], f"seed {seed}"
        assert set(range(BATCHES)) <= history.committed
        folding.fold_all()
        assert_everything_is(recount(history), copy)
        assert verification.verify() == []
        assert_positions_are_dense()
