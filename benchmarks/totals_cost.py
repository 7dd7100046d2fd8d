"""Measure how much the totals, and the ledger with them, slow down ingest.

    .venv/bin/python -m benchmarks.totals_cost [--rounds N]

Each client waits for its response, so longer times mean more work. In a turn, each client sends a request. Three turns
make a group, one turn for each case. Their order is random, so that other load on the machine affects all cases alike:

    sales     store sales alone
    ledger    also append an entry to the ledger: who sent the sales, and which ones they are
    totals    also put the figures for all totals into the entry, as the service does

Folds run beside the requests, and start after random turns. A difference is that between the turn of totals and another
turn of its group. A round is the mean difference without the 5% at each end, in which PostgreSQL or the machine did
something else. The result is the mean of the rounds and its standard error. It leaves out a small part of the ledger's
cost: the case of sales alone also sends an entry to PostgreSQL, which ignores it.

The events are those of a marketplace with ten million sales a year, ordered by payment. In a smaller marketplace, a
batch covers more days, so it needs more totals.
"""

import os
import re
import time
from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import sub
from random import Random
from statistics import mean, median, stdev
from types import ModuleType
from typing import Any, Literal, NamedTuple, get_args

import django
from msgspec.structs import replace

from benchmarks.service import Service, note, service

Case = Literal["sales", "ledger", "totals"]
Parts = list[tuple[ModuleType, str, dict[Case, Any]]]

CASES: tuple[Case, ...] = get_args(Case)
START = 200_000  # demo sales before the first run
ROUNDS = 7
ENTRIES_PER_FOLD, SALES_PER_FOLD = 256, 20_000  # on average
TRIMMED = 0.05  # of the differences, at each end
# No fold can add up an entry without figures. A fold that has read one finds that, and starts again.
DELETE_ENTRIES = "DELETE FROM ledger WHERE position IS NULL AND tallies::text = '[]'"


class Kind(NamedTuple):
    """A kind of load."""

    size: int  # events per request
    requests: int
    clients: int = 1
    a_year: int = 10_000_000  # sales per year in the marketplace that the events come from
    rounds_factor: int = 1  # multiplies --rounds, for kinds whose rounds differ much

    @property
    def folds_per_turn(self) -> float:
        return self.clients * max(self.size / SALES_PER_FOLD, 1 / ENTRIES_PER_FOLD)


KINDS = {
    "batches of 5,000": Kind(5_000, 120, rounds_factor=2),
    "batches of 10": Kind(10, 6_000),
    "single events": Kind(1, 12_000),
    "single events of 15 clients": Kind(1, 22_500, clients=15),
    # A year has 40 batches, and the three cases need a multiple of three.
    "history of 200,000 in a year": Kind(5_000, 39, a_year=200_000, rounds_factor=3),
}


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.totals_cost")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="at least 2")
    rounds = parser.parse_args().rounds
    with service() as measured:
        measured.manage("load_demo", "--sales", str(START))
        os.environ.update(measured.environment)
        django.setup()
        from django.db import connection

        connection.ensure_connection()  # keeps the database running
        parts = parts_of_totals()
        for name, kind in KINDS.items():
            bodies = requests(measured, kind)
            costs = [cost(bodies, kind, parts, seed) for seed in range(rounds * kind.rounds_factor)]
            show(f"{name}: totals", [ratios["ledger"] for ratios in costs], "    target: at most 3 %")
            show(f"{name}: ledger and totals", [ratios["sales"] for ratios in costs])


def show(name: str, costs: Sequence[float], target: str = "") -> None:
    note(f"{name}: {', '.join(f'{100 * ratio:.1f}' for ratio in costs)} %")
    error = stdev(costs) / len(costs) ** 0.5
    print(f"{name:<50}{100 * mean(costs):>6.1f} ± {100 * error:.1f} % more time{target}")


def requests(measured: Service, kind: Kind) -> list[bytes]:
    """Return the bodies of the requests."""
    path = measured.write_events(kind.size * kind.requests, "--random-ids", "--a-year", str(kind.a_year))
    lines = path.read_text().splitlines()
    if kind.size == 1:
        return [line.encode() for line in lines]
    return [f"[{','.join(lines[start : start + kind.size])}]".encode() for start in range(0, len(lines), kind.size)]


def cost(bodies: list[bytes], kind: Kind, parts: Parts, seed: int) -> dict[Case, float]:
    """Return how much longer a request with all totals takes than one of each case, as a fraction."""
    from django.db import connection
    from django.test import Client

    from sales.totals.fold_thread import request_fold
    from sales.totals.folding import fold_all

    client, rng = Client(SERVER_NAME="localhost"), Random(seed)

    def post(body: bytes) -> int:
        status: int = client.post("/ingest", body, content_type="application/json").status_code
        return status

    turns = [bodies[start : start + kind.clients] for start in range(0, len(bodies), kind.clients)]
    cases = [case for _ in turns[:: len(CASES)] for case in rng.sample(CASES, len(CASES))]
    seconds: dict[Case, list[float]] = {case: [] for case in CASES}
    with ThreadPoolExecutor(kind.clients) as threads, connection.cursor() as cursor:
        send = threads.map if kind.clients > 1 else map
        for turn, case in zip(turns, cases, strict=True):
            for module, name, values in parts:  # the same work in all cases
                setattr(module, name, values[case])
            start = time.perf_counter()
            statuses = set(send(post, turn))
            seconds[case].append(time.perf_counter() - start)
            if statuses != {201}:
                raise RuntimeError("not stored")
            cursor.execute(DELETE_ENTRIES)
            if rng.random() < kind.folds_per_turn:
                request_fold(fold_all)
    return {case: trimmed_mean(map(sub, seconds["totals"], seconds[case])) / median(seconds[case]) for case in CASES}


def trimmed_mean(values: Iterable[float]) -> float:
    ordered = sorted(values)
    trimmed = round(len(ordered) * TRIMMED)
    return mean(ordered[trimmed : len(ordered) - trimmed])


def parts_of_totals() -> Parts:
    """Return what differs between the cases: the module and name, and the value for each case."""
    from sales.ingest import writer
    from sales.totals import folding, ledger

    insert = re.compile(r"INSERT INTO ledger.*RETURNING id,(.*)", re.DOTALL)
    store_few = insert.sub(r"SELECT 0 AS id, \1 WHERE $2 IS NOT NULL", writer.STORE_FEW.sql)
    if "ledger" in store_few:
        raise RuntimeError("sales.ingest.writer.STORE_FEW has changed: adapt this benchmark")

    def without_figures(entry: ledger.NewEntry, events: Sequence[Any]) -> ledger.NewEntry:
        days = [event["DATE_PAYMENT"].date() for event in events]
        return replace(entry, accepted=len(events), first_day=min(days), last_day=max(days))

    parts: list[tuple[ModuleType, str, dict[Case, Any]]] = [
        (writer, "STORE_FEW", {"sales": writer.STORE_FEW._replace(name="store_sales_only", sql=store_few)}),
        (writer, "_with_sales", {"sales": lambda entry, events: entry, "ledger": without_figures}),
        (ledger, "append", {"sales": lambda cursor, entries: []}),
        (writer, "fold_if_due", {"sales": lambda *due: None}),
        (folding, "request_fold", dict.fromkeys(CASES, lambda fold: None)),  # `cost` requests folds
    ]
    return [(module, name, dict.fromkeys(CASES, getattr(module, name)) | values) for module, name, values in parts]


if __name__ == "__main__":
    main()
