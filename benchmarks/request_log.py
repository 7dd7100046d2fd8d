"""Measure how much the log of requests slows down ingest: POST /ingest with the log as text, as JSON, and without it.

    .venv/bin/python -m benchmarks.request_log [--rounds N]

One client waits for each response, so longer times mean more work. How a request is logged is random, so that other
load on the machine affects all ways alike. All requests are counted in the metrics.
"""

import logging
import os
import time
from argparse import ArgumentParser
from random import Random
from statistics import median

import django

from benchmarks.service import note, service
from benchmarks.totals_cost import START, Kind, requests

KINDS = {"single events": Kind(1, 4_000), "batches of 5,000": Kind(5_000, 30)}
OFF = "off"


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.request_log")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with service() as measured:
        measured.manage("load_demo", "--sales", str(START))
        os.environ.update(measured.environment)
        django.setup()
        from django.db import connection

        connection.ensure_connection()  # keeps the database running
        handlers = log_handlers(measured.folder / "requests.log")
        for name, kind in KINDS.items():
            bodies = requests(measured, kind)
            results = [throughput(bodies, handlers, seed) for seed in range(rounds)]
            for way in handlers:
                ratios = [result[way] for result in results]
                note(f"{name}, {way}: {', '.join(f'{ratio:.3f}' for ratio in ratios)}")
                print(f"{name:<18}{way:<6}{median(ratios):>7.3f} of the throughput without    target: at least 0.95")


def log_handlers(path: os.PathLike[str]) -> dict[str, logging.Handler]:
    """Return a handler that writes to a file for each format of the log."""
    from logging.config import DictConfigurator

    from salesengine.http.request_ids import RequestIDFilter
    from salesengine.logs import LOG_FORMATS

    configurator = DictConfigurator({"formats": LOG_FORMATS})
    handlers: dict[str, logging.Handler] = {}
    for way in LOG_FORMATS:
        handlers[way] = logging.FileHandler(path)
        handlers[way].setFormatter(configurator.configure_formatter(configurator.config["formats"][way]))
        handlers[way].addFilter(RequestIDFilter())
    return handlers


def throughput(bodies: list[bytes], handlers: dict[str, logging.Handler], seed: int) -> dict[str, float]:
    """Return how many requests a second each way allows, as a fraction of those without the log."""
    from django.test import Client

    from salesengine.operations.requests import logger

    client, rng, ways = Client(SERVER_NAME="localhost"), Random(seed), [*handlers, OFF]
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    logger.propagate = False
    for body in bodies:
        way = rng.choice(ways)
        logger.handlers, logger.disabled = [handlers[way]] if way != OFF else [], way == OFF
        content = body if body.count(b"ID_ORDER") > 1 else body[1:-1]
        start = time.perf_counter()
        response = client.post("/ingest", content, content_type="application/json")
        seconds[way].append(time.perf_counter() - start)
        if response.status_code != 201:
            raise RuntimeError("not stored")
    return {way: median(seconds[OFF]) / median(seconds[way]) for way in handlers}


if __name__ == "__main__":
    main()
