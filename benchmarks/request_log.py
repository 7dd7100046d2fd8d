"""Measure how much the log of requests slows down ingest: two services with one database, one of them without this log.

    .venv/bin/python -m benchmarks.request_log [--rounds N]

The services take turns, and the results are medians of the rounds. Both count their metrics. Single events need the
load generator `wrk`.
"""

import os
from argparse import ArgumentParser
from collections import defaultdict
from statistics import median

from benchmarks.batches import BATCH, BatchesBench
from benchmarks.service import Service, note, service
from benchmarks.singles import MAXIMUM, START, USUAL, SinglesBench

WAYS = {"text": {}, "json": {"LOG_FORMAT": "json"}, "off": {"LOG_LEVEL": "WARNING"}}
TARGET = 0.95
SECONDS = 4


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.request_log")
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print(f"{os.cpu_count()} processors, load before: {os.getloadavg()[0]:.2f}")
    with service(API_KEY_REQUIRED="true", WEB_CONCURRENCY="2") as measured:
        measured.manage("load_demo", "--sales", str(START))
        services = {way: Service(str(measured.folder), measured_settings(measured, way)) for way in WAYS}
        text, json, off = services.values()
        with text.serving() as first, json.serving() as second, off.serving() as third:
            processes = dict(zip(WAYS, (first, second, third), strict=True))
            report("single events", measure_singles(services, processes, rounds))
            report(f"batches of {BATCH:,}", measure_batches(services, rounds))
        measured.manage("verify_feedback")


def measured_settings(measured: Service, way: str) -> dict[str, str]:
    return {name: measured.environment[name] for name in ("API_KEY_REQUIRED", "WEB_CONCURRENCY")} | WAYS[way]


def measure_singles(services: dict[str, Service], processes: dict, rounds: int) -> dict[str, list[float]]:
    bench = SinglesBench(services["off"], processes["off"])
    rates: dict[str, list[float]] = defaultdict(list)
    for number in range(-1, rounds):  # the first round warms up
        for way in in_turns(number):
            bench.gunicorn, bench.wrk.origin = processes[way], f"http://127.0.0.1:{services[way].port}"
            run = bench.run("/ingest", USUAL if number >= 0 else MAXIMUM, SECONDS)
            if number >= 0:
                rates[way].append(run.rate)
                note(f"round {number + 1}: {way}: {run.rate:,.0f} single events/s")
    return rates


def measure_batches(services: dict[str, Service], rounds: int) -> dict[str, list[float]]:
    bench = BatchesBench(services["off"])
    rates: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        for way in in_turns(number):
            bench.measured = services[way]
            rates[way].append(bench.run(bench.post_to("/ingest")))
            note(f"round {number + 1}: {way}: {rates[way][-1]:,.0f} events/s")
    return rates


def in_turns(number: int) -> list[str]:
    """Return the ways, beginning with another one in each round."""
    ways = list(WAYS)
    return ways[number % len(ways) :] + ways[: number % len(ways)]


def report(title: str, rates: dict[str, list[float]]) -> None:
    medians = {way: median(rates[way]) for way in WAYS}
    print(title)
    for way, rate in medians.items():
        ratio = median(mine / without for mine, without in zip(rates[way], rates["off"], strict=True))
        print(f"log {way:<8}{rate:>12,.0f} events/s    {ratio:.3f} of without    target: at least {TARGET}")


if __name__ == "__main__":
    main()
