"""What the totals by country cost ingest: events through POST /ingest, half of the requests without the totals.

    .venv/bin/python -m benchmarks.totals_cost [--rounds N]

One client, which waits for each answer: what takes longer is work. Which requests have them is drawn for each, so that
all else that happens on the machine happens to both. Every 20,000th sale or so a request waits for a fold, too.

The events are those of a market of ten million sales a year, in the order of payment; of a history that has fewer,
each sum is of fewer sales, so there are more of them.
"""

import os
import re
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from random import Random
from statistics import mean
from typing import NamedTuple
from unittest.mock import patch

import django

from benchmarks.service import Service, note, service

START = 200_000  # demo sales there are before
ROUNDS = 7


class Kind(NamedTuple):
    """Which events are sent, and how: so many requests of so many events, of a market of so many sales a year."""

    size: int
    requests: int
    a_year: int = 10_000_000


KINDS = {
    "batches of 5,000": Kind(5_000, 40),
    "batches of 10": Kind(10, 4_000),
    "single events": Kind(1, 8_000),
    "history of 200,000 in a year": Kind(5_000, 40, a_year=200_000),
}


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.totals_cost")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    with service() as measured:
        measured.manage("load_demo", "--sales", str(START))
        os.environ.update(measured.environment)
        django.setup()
        from django.db import connection

        connection.ensure_connection()  # keeps the server up
        for name, kind in KINDS.items():
            bodies = requests(measured, kind)
            costs = [cost(bodies, seed) for seed in range(rounds)]
            note(f"{name}: {', '.join(f'{100 * each:.1f}' for each in costs)} %")
            print(f"{name:<30}{100 * mean(costs):>6.1f} % more time with the totals    wanted: under 5 %")


def requests(measured: Service, kind: Kind) -> list[bytes]:
    """The bodies of the requests."""
    path = measured.write_events(kind.size * kind.requests, "--random-ids", "--a-year", str(kind.a_year))
    lines = path.read_text().splitlines()
    return [f"[{','.join(lines[start : start + kind.size])}]".encode() for start in range(0, len(lines), kind.size)]


def cost(bodies: list[bytes], seed: int) -> float:
    """How much more time a request takes with the totals than without."""
    from django.test import Client

    client, chance = Client(SERVER_NAME="localhost"), Random(seed)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for body in bodies:
        wanted = chance.random() < 0.5
        content = body if body.count(b"ID_ORDER") > 1 else body[1:-1]
        with nullcontext() if wanted else without_totals():
            start = time.perf_counter()
            status = client.post("/ingest", content, content_type="application/json").status_code
            seconds[wanted].append(time.perf_counter() - start)
        if status != 201:
            raise RuntimeError("not stored")
    return mean(seconds[True]) / mean(seconds[False]) - 1


@contextmanager
def without_totals() -> Iterator[None]:
    from sales.ingest import writer as services
    from sales.totals import country_folding

    store_few = re.sub(r", noted_by_country AS \(.*?\n    \)", "", services.STORE_FEW, flags=re.DOTALL)
    if store_few == services.STORE_FEW:
        raise RuntimeError("the statement is not as it was")
    with (
        patch.object(services, "STORE_FEW", store_few),
        patch.object(country_folding, "APPEND_TO_JOURNAL", f"EXPLAIN {country_folding.APPEND_TO_JOURNAL}"),  # of COPY
        patch.object(country_folding, "fold_if_due", lambda sale_ids: None),
    ):
        yield


if __name__ == "__main__":
    main()
