"""Followers see each sale and void exactly once, whenever and in whatever order transactions commit, fail or die."""

import json
import random
import threading
import time
from dataclasses import dataclass, field

import pytest
from django.db import DatabaseError, connection, transaction

from sales.changes import feed
from sales.changes.feed import ChangesQuery
from sales.changes.tests.helpers import void
from sales.ingest.writer import record_sales
from sales.models import Sale, VoidedSale
from sales.tests.helpers import sale_event
from sales.totals import folding
from sales.totals.tests.threads import in_another_thread, together


@dataclass
class Follower:
    """A program that reads with random limits and keeps what it has read."""

    rng: random.Random
    position: int = 0
    changes: list[tuple[int, str, int]] = field(default_factory=list)

    def follow_until(self, ended: threading.Event) -> None:
        while not ended.is_set():
            self.read()

    def read(self) -> bool:
        """Read a page. Return whether there are more."""
        query = ChangesQuery(self.position, self.rng.choice((1, 2, 3, 10, 1_000)))
        page = feed.read_page(query, separator=",")
        found = [(change["position"], change["kind"], change["ID"]) for change in json.loads(f"[{page.lines}]")]
        self.changes += found
        self.position = page.next
        return page.has_more


@dataclass
class Market:
    """Writers whose transactions stay open for a random time, and then commit, fail, or lose their connection."""

    number: int  # of transactions of each writer
    committed: set[int] = field(default_factory=set)  # ids of sales, as the writers know them

    def write(self, rng: random.Random) -> None:
        for _ in range(self.number):
            outcome = rng.choice(("commit", "commit", "commit", "fail", "die"))
            events = [
                sale_event(EVENT_ID=rng.choice((None, f"e-{rng.randrange(50)}"))) for _ in range(rng.randrange(1, 6))
            ]
            try:
                with transaction.atomic():
                    result = record_sales(events)
                    time.sleep(rng.random() / 50)
                    if outcome == "die":
                        with connection.cursor() as cursor:
                            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
                    elif outcome == "fail":
                        raise DatabaseError
            except DatabaseError:
                connection.close()
            else:
                self.committed |= {
                    sale_id
                    for index, sale_id in enumerate(result.ids)
                    if index not in result.duplicates | result.conflicts
                }

    def void(self, rng: random.Random) -> None:
        for _ in range(self.number):
            time.sleep(rng.random() / 50)
            if sale := Sale.objects.order_by("?").first():
                void(sale.pk)

    def fold(self, rng: random.Random, ended: threading.Event) -> None:
        while not ended.wait(rng.random() / 50):
            folding.fold()


def run_market(seed: int, number: int) -> tuple[Market, list[Follower]]:
    ended = threading.Event()
    rngs = [random.Random(seed * 100 + index) for index in range(8)]
    market, followers = Market(number), [Follower(rngs[0]), Follower(rngs[1])]
    background = [(follower.follow_until, ended) for follower in followers]
    with together((market.fold, rngs[2], ended), *background):
        try:
            with together((market.void, rngs[3]), *((market.write, rng) for rng in rngs[4:])):
                pass
        finally:
            ended.set()
    for follower in followers:
        while follower.read():
            pass
    return market, followers


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("seeds", "number"), [(2, 10), pytest.param(3, 40, marks=pytest.mark.slow)])
def test_followers_see_every_sale_and_void_exactly_once(seeds, number):
    for seed in range(seeds):
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE sales, voided_sale, ledger, event_ids")

        market, followers = run_market(seed, number)

        true, voided = (set(model.objects.values_list("pk", flat=True)) for model in (Sale, VoidedSale))
        assert market.committed == true | voided
        assert voided
        for follower in followers:
            positions = [position for position, *_ in follower.changes]
            sales = [sale_id for _, kind, sale_id in follower.changes if kind == "sale"]
            voids = [sale_id for _, kind, sale_id in follower.changes if kind == "void"]
            assert positions == list(range(1, len(positions) + 1)), f"seed {seed}"
            assert sorted(sales) == sorted(true | voided), f"seed {seed}"
            assert sorted(voids) == sorted(voided), f"seed {seed}"
            first = {sale_id: position for position, _, sale_id in reversed(follower.changes)}
            assert not any(first[sale_id] == position for position, kind, sale_id in follower.changes if kind == "void")
        assert followers[0].changes == followers[1].changes


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_commits_late_is_not_skipped():
    """Feeds that continue from an id or a time skip it, because others with higher ids were read already."""
    with transaction.atomic():
        [late] = record_sales([sale_event()]).ids
        [early] = in_another_thread(record_sales, [sale_event()]).ids
        follower = Follower(random.Random(1))
        in_another_thread(follower.read)
        assert early > late
        assert follower.changes == [(1, "sale", early)]

    follower.read()

    assert follower.changes == [(1, "sale", early), (2, "sale", late)]


@pytest.mark.django_db(transaction=True)
def test_what_is_committed_while_another_fold_runs_is_delivered():
    record_sales([sale_event()])
    locked, read = threading.Event(), threading.Event()
    follower = Follower(random.Random(1))

    def hold_folds_back():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(1396788293)")
            locked.set()
            assert not read.wait(0.3)

    def follow():
        locked.wait()
        follower.read()
        read.set()

    with together((hold_folds_back,), (follow,)):
        pass

    assert len(follower.changes) == 1
