"""Measure how fast a follower reads all sales from GET /changes, its cost, and whether the memory of the service grows.

    .venv/bin/python -m benchmarks.changes [--sales N] [--rounds N]

One client reads page by page on one connection. The formats take turns, and the results are medians of the rounds. The
CPU time is that of the service and the database; it depends less on what else the machine does.
"""

import http.client
import os
import time
from argparse import ArgumentParser
from collections import defaultdict
from statistics import median

import psutil

from benchmarks.service import Service, cpu_seconds, note, service

LIMITS = (1_000, 10_000)  # changes in a response
FORMATS = ("json", "ndjson")


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.changes")
    parser.add_argument("--sales", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, load before: {os.getloadavg()[0]:.2f}")
    rates: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)  # sales/s, of time and of CPU time
    with service(WEB_CONCURRENCY="1") as measured:
        measured.manage("load_demo", "--sales", str(options.sales))
        with measured.serving() as process:
            follow(measured, options.sales, "json", max(LIMITS))  # warm-up
            before = memory(process, measured)
            for _ in range(options.rounds):
                for form in FORMATS:
                    for limit in LIMITS:
                        cpu = cpu_seconds(process) + cpu_seconds(measured.postmaster())
                        seconds = follow(measured, options.sales, form, limit)
                        cpu = cpu_seconds(process) + cpu_seconds(measured.postmaster()) - cpu
                        rates[form, limit].append((options.sales / seconds, options.sales / cpu))
                        note(f"{form}, {limit:,} at a time: {options.sales / seconds:,.0f} sales/s")
            after = memory(process, measured)
    for (form, limit), of_rounds in rates.items():
        rate, of_cpu = map(median, zip(*of_rounds, strict=True))
        print(f"{form:<8}{limit:>8,} at a time{rate:>12,.0f} sales/s{of_cpu:>12,.0f} per second of CPU time")
    for name, size in after.items():
        print(f"{name:<12} memory{before[name] / 1e6:>8.0f} MB before{size / 1e6:>8.0f} MB after")
    print("target: 100,000 sales/s with 10,000 at a time, and memory that does not grow")


def follow(measured: Service, number: int, form: str, limit: int) -> float:
    """Read all changes, and return the seconds that this takes. Raises RuntimeError if some are missing."""
    connection = measured.connect()
    start, position, lines, has_more = time.perf_counter(), 0, 0, True
    while has_more:
        connection.request("GET", f"/changes?after={position}&limit={limit}&format={form}")
        response = connection.getresponse()
        lines += read(response, form)
        position = int(response.headers["Changes-Next"])
        has_more = response.headers["Changes-Has-More"] == "true"
    seconds = time.perf_counter() - start
    connection.close()
    if (position, lines) != (number, number):
        raise RuntimeError(f"read {lines:,} changes up to position {position:,}, expected {number:,}")
    return seconds


def read(response: http.client.HTTPResponse, form: str) -> int:
    """Return the number of changes in a response, without the time that a client would need to parse them."""
    content = response.read()
    if response.status != 200:
        raise RuntimeError(f"{response.status}: {content[:500]!r}")
    if form == "json":
        return content.count(b'{"position":')
    return content.count(b"\n")


def memory(process: psutil.Process, measured: Service) -> dict[str, int]:
    """Return the resident memory of the service's processes, and of the database's, without its shared memory."""
    backends = measured.postmaster().children()
    return {
        "service": sum(child.memory_info().rss for child in process.children(recursive=True)),
        "database": sum(info.rss - info.shared for info in (backend.memory_info() for backend in backends)),
    }


if __name__ == "__main__":
    main()
