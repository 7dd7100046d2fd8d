"""What the totals by country cost ingest: the same events through POST /ingest with them and without, in turns.

    .venv/bin/python -m benchmarks.totals_cost [--rounds N]

Processor time of this process, which parses, validates and writes, and of PostgreSQL: another load on the machine
changes that less than the time on the clock. Without the totals, batches still note their ids, one row each.
"""

import os
import re
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from statistics import median
from unittest.mock import patch

import django

from benchmarks.service import Service, cpu_seconds, note, service

START = 200_000  # demo sales there are before
KINDS = {"batches of 5,000": (5_000, 20), "batches of 10": (10, 1_000), "single events": (1, 4_000)}  # size, number
ROUNDS = 7


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
        for kind, (size, number) in KINDS.items():
            costs = [cost(measured, size, number, turn) for turn in range(rounds)]
            note(f"{kind}: {', '.join(f'{100 * each:.1f}' for each in costs)} %")
            print(f"{kind:<20}{100 * median(costs):>6.1f} % more processor time with the totals    wanted: under 5 %")
        measured.manage("verify_feedback", "--repair")  # what was written without them is in none


def cost(measured: Service, size: int, number: int, turn: int) -> float:
    """How much more the events cost with the totals than without; who goes first changes from turn to turn."""
    bodies = events(measured, size * number, size)
    seconds = {}
    for wanted in (True, False) if turn % 2 else (False, True):
        with nullcontext() if wanted else without_totals():
            seconds[wanted] = ingest(measured, bodies)
    return seconds[True] / seconds[False] - 1


def events(measured: Service, number: int, size: int) -> list[bytes]:
    path = measured.folder / f"{number}--random-ids.ndjson"
    lines = (path if path.exists() else measured.write_events(number, "--random-ids")).read_text().splitlines()
    return [f"[{','.join(lines[start : start + size])}]".encode() for start in range(0, number, size)]


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
