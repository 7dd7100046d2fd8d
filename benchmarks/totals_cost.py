"""Measure how much the ledger and all totals slow down ingest: POST /ingest with and without them.

    .venv/bin/python -m benchmarks.totals_cost [--rounds N]

One client waits for each response, so longer times mean more work. Whether a request appends to the ledger is random,
so that other load on the machine affects both cases alike. Folds run beside the requests. The result is the mean of the
rounds and its standard error.

The events are those of a marketplace with ten million sales a year, ordered by payment. In a smaller marketplace, a
batch covers more days, so it needs more totals.
"""

import os
import re
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from random import Random
from statistics import mean, stdev
from typing import NamedTuple
from unittest.mock import patch

import django

from benchmarks.service import Service, note, service

START = 200_000  # demo sales before the first run
ROUNDS = 7


class Kind(NamedTuple):
    """A kind of load."""

    size: int  # events per request
    requests: int
    a_year: int = 10_000_000  # sales per year in the marketplace that the events come from


KINDS = {
    "batches of 5,000": Kind(5_000, 40),
    "batches of 10": Kind(10, 4_000),
    "single events": Kind(1, 8_000),
    "history of 200,000 in a year": Kind(5_000, 40, a_year=200_000),
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
        for name, kind in KINDS.items():
            bodies = requests(measured, kind)
            costs = [cost(bodies, seed) for seed in range(rounds)]
            note(f"{name}: {', '.join(f'{100 * ratio:.1f}' for ratio in costs)} %")
            error = stdev(costs) / rounds**0.5
            print(f"{name:<30}{100 * mean(costs):>6.1f} ± {100 * error:.1f} % more time    target: under 3 %")


def requests(measured: Service, kind: Kind) -> list[bytes]:
    """Return the bodies of the requests."""
    path = measured.write_events(kind.size * kind.requests, "--random-ids", "--a-year", str(kind.a_year))
    lines = path.read_text().splitlines()
    return [f"[{','.join(lines[start : start + kind.size])}]".encode() for start in range(0, len(lines), kind.size)]


def cost(bodies: list[bytes], seed: int) -> float:
    """Return how much longer a request takes with the totals than without, as a fraction."""
    from django.test import Client

    client, rng = Client(SERVER_NAME="localhost"), Random(seed)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for body in bodies:
        with_totals = rng.random() < 0.5
        content = body if body.count(b"ID_ORDER") > 1 else body[1:-1]
        with nullcontext() if with_totals else without_totals():
            start = time.perf_counter()
            status = client.post("/ingest", content, content_type="application/json").status_code
            seconds[with_totals].append(time.perf_counter() - start)
        if status != 201:
            raise RuntimeError("not stored")
    return mean(seconds[True]) / mean(seconds[False]) - 1


@contextmanager
def without_totals() -> Iterator[None]:
    """Store sales alone: no tallies, no entry in the ledger, no fold."""
    from sales.ingest import writer
    from sales.totals import ledger

    store_few = re.sub(r", entries AS \(.*RETURNING id\n.*?\)\n", "", writer.STORE_FEW.sql, flags=re.DOTALL)
    store_few = store_few.replace("array(SELECT id FROM entries)", "ARRAY[]::bigint[] WHERE $2 IS NOT NULL")
    if "ledger" in store_few:
        raise RuntimeError("sales.ingest.writer.STORE_FEW has changed: adapt this benchmark")
    with (
        patch.object(writer, "STORE_FEW", writer.STORE_FEW._replace(name="store_sales_only", sql=store_few)),
        patch.object(writer, "_with_sales", lambda entry, events: entry),
        patch.object(ledger, "append", lambda cursor, entries: []),
        patch.object(writer, "fold_if_due", lambda *due: None),
    ):
        yield


if __name__ == "__main__":
    main()
