"""What the totals by country cost ingest: the same events through POST /ingest with them and without, in turns.

    .venv/bin/python -m benchmarks.totals_cost [--rounds N]

Processor time of this process, which parses, validates and writes, and of PostgreSQL: another load on the machine
changes that less than the time on the clock. Without the totals, batches still note their ids, one row each.

The events are those of a market of ten million sales a year, in the order of payment; of a history that has fewer,
each sum is of fewer sales, so there are more of them.
"""

import os
import re
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from statistics import median
from typing import NamedTuple
from unittest.mock import patch

import django

from benchmarks.service import Service, cpu_seconds, note, service

START = 200_000  # demo sales there are before
ROUNDS = 7


class Kind(NamedTuple):
    """Which events are sent, and how: so many requests of so many events, of a market of so many sales a year."""

    size: int
    requests: int
    a_year: int = 10_000_000


KINDS = {
    "batches of 5,000": Kind(5_000, 20),
    "a year's history of 100,000": Kind(5_000, 20, a_year=100_000),
    "batches of 10": Kind(10, 2_000),
    "single events": Kind(1, 4_000),
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
            costs = [cost(measured, bodies, turn) for turn in range(rounds)]
            note(f"{name}: {', '.join(f'{100 * each:.1f}' for each in costs)} %")
            print(f"{name:<30}{100 * median(costs):>6.1f} % more processor time with the totals    wanted: under 5 %")
        measured.manage("verify_feedback", "--repair")  # what was written without them is in none


def requests(measured: Service, kind: Kind) -> list[bytes]:
    """The bodies of the requests."""
    path = measured.write_events(kind.size * kind.requests, "--random-ids", "--a-year", str(kind.a_year))
    lines = path.read_text().splitlines()
    return [f"[{','.join(lines[start : start + kind.size])}]".encode() for start in range(0, len(lines), kind.size)]


def cost(measured: Service, bodies: list[bytes], turn: int) -> float:
    """How much more the events cost with the totals than without; who goes first changes from turn to turn."""
    from sales.models import CountryJournalEntry

    seconds = {}
    for wanted in (True, False) if turn % 2 else (False, True):
        with nullcontext() if wanted else without_totals():
            seconds[wanted] = ingest(measured, bodies)
        CountryJournalEntry.objects.all().delete()  # or the next turn would fold what this one has left
    return seconds[True] / seconds[False] - 1


def ingest(measured: Service, bodies: list[bytes]) -> float:
    """Processor seconds."""
    from django.test import Client

    client = Client(SERVER_NAME="localhost")
    start = time.process_time() + cpu_seconds(measured.postmaster())
    for body in bodies:
        content = body if body.count(b"ID_ORDER") > 1 else body[1:-1]
        if client.post("/ingest", content, content_type="application/json").status_code != 201:
            raise RuntimeError("not stored")
    return time.process_time() + cpu_seconds(measured.postmaster()) - start


@contextmanager
def without_totals() -> Iterator[None]:
    from sales import country_totals, services

    store_few = re.sub(r", noted_by_country AS \(.*?\n    \)", "", services.STORE_FEW, flags=re.DOTALL)
    if store_few == services.STORE_FEW:
        raise RuntimeError("the statement is not as it was")
    with (
        patch.object(services, "STORE_FEW", store_few),
        patch.object(country_totals, "fold_if_due", lambda sale_ids: None),
    ):
        yield


if __name__ == "__main__":
    main()
