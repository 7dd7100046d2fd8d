"""Measure how much the ledger and all totals slow down ingest: POST /ingest with and without them.

    .venv/bin/python -m benchmarks.totals_cost [--rounds N]

Each client waits for its response, so longer times mean more work. Of two turns, in which each client sends a request,
a random one appends to the ledger, so that other load on the machine affects both cases alike. Folds run beside the
requests. A round is the mean difference within such pairs, without the 5% of pairs at each end, in which PostgreSQL or
the machine did something else. The result is the mean of the rounds and its standard error.

The events are those of a marketplace with ten million sales a year, ordered by payment. In a smaller marketplace, a
batch covers more days, so it needs more totals.
"""

import os
import re
import time
from argparse import ArgumentParser
from concurrent.futures import ThreadPoolExecutor
from operator import sub
from random import Random
from statistics import mean, median, stdev
from types import ModuleType
from typing import Any, NamedTuple

import django

from benchmarks.service import Service, note, service

Parts = list[tuple[ModuleType, str, dict[bool, Any]]]

START = 200_000  # demo sales before the first run
ROUNDS = 7
TRIMMED = 0.05  # of the pairs, at each end


class Kind(NamedTuple):
    """A kind of load."""

    size: int  # events per request
    requests: int
    clients: int = 1
    a_year: int = 10_000_000  # sales per year in the marketplace that the events come from


KINDS = {
    "batches of 5,000": Kind(5_000, 80),
    "batches of 10": Kind(10, 4_000),
    "single events": Kind(1, 8_000),
    "single events of 15 clients": Kind(1, 15_000, clients=15),
    "history of 200,000 in a year": Kind(5_000, 80, a_year=200_000),
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
            costs = [cost(bodies, kind.clients, parts, seed) for seed in range(rounds)]
            note(f"{name}: {', '.join(f'{100 * ratio:.1f}' for ratio in costs)} %")
            error = stdev(costs) / rounds**0.5
            print(f"{name:<30}{100 * mean(costs):>6.1f} ± {100 * error:.1f} % more time    target: under 3 %")


def requests(measured: Service, kind: Kind) -> list[bytes]:
    """Return the bodies of the requests."""
    path = measured.write_events(kind.size * kind.requests, "--random-ids", "--a-year", str(kind.a_year))
    lines = path.read_text().splitlines()
    if kind.size == 1:
        return [line.encode() for line in lines]
    return [f"[{','.join(lines[start : start + kind.size])}]".encode() for start in range(0, len(lines), kind.size)]


def cost(bodies: list[bytes], clients: int, parts: Parts, seed: int) -> float:
    """Return how much longer a request takes with the totals than without, as a fraction."""
    from django.test import Client

    client, rng = Client(SERVER_NAME="localhost"), Random(seed)

    def post(body: bytes) -> int:
        status: int = client.post("/ingest", body, content_type="application/json").status_code
        return status

    turns = [bodies[start : start + clients] for start in range(0, len(bodies), clients)]
    seconds: dict[bool, list[float]] = {True: [], False: []}
    with ThreadPoolExecutor(clients) as threads:
        send = threads.map if clients > 1 else map
        for pair in zip(turns[::2], turns[1::2], strict=True):
            for turn, with_totals in zip(pair, rng.sample([True, False], 2), strict=True):
                for module, name, values in parts:  # the same work in both cases
                    setattr(module, name, values[with_totals])
                start = time.perf_counter()
                statuses = set(send(post, turn))
                seconds[with_totals].append(time.perf_counter() - start)
                if statuses != {201}:
                    raise RuntimeError("not stored")
    differences = sorted(map(sub, seconds[True], seconds[False]))
    trimmed = int(len(differences) * TRIMMED)
    return mean(differences[trimmed : len(differences) - trimmed]) / median(seconds[False])


def parts_of_totals() -> Parts:
    """Return what makes an entry: the module and name, and the values with the totals and without them.

    Without them, sales are stored alone: no tallies, no entry in the ledger, no fold.
    """
    from sales.ingest import writer
    from sales.totals import ledger

    store_few = re.sub(r", entries AS \(.*RETURNING id\n.*?\)\n", "", writer.STORE_FEW.sql, flags=re.DOTALL)
    store_few = store_few.replace("array(SELECT id FROM entries)", "ARRAY[]::bigint[] WHERE $2 IS NOT NULL")
    if "ledger" in store_few:
        raise RuntimeError("sales.ingest.writer.STORE_FEW has changed: adapt this benchmark")
    without: list[tuple[ModuleType, str, Any]] = [
        (writer, "STORE_FEW", writer.STORE_FEW._replace(name="store_sales_only", sql=store_few)),
        (writer, "_with_sales", lambda entry, events: entry),
        (ledger, "append", lambda cursor, entries: []),
        (writer, "fold_if_due", lambda *due: None),
    ]
    return [(module, name, {True: getattr(module, name), False: value}) for module, name, value in without]


if __name__ == "__main__":
    main()
