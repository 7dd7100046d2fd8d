"""Measure what metrics and the log of requests cost ingest: single events with the log as text, as JSON, and without.

    .venv/bin/python -m benchmarks.watching [--seconds N] [--clients N]

The service changes the way every second, so that other load on the machine affects all ways alike. The sales themselves
tell when they arrived; those of the first part of each second do not count, because lines of the second before may
still be written. Needs `wrk`.
"""

import os
from argparse import ArgumentParser
from statistics import fmean, stdev

from benchmarks.service import service
from benchmarks.singles import START, USUAL, SinglesBench

WAYS = ("text", "json", "without")  # by turns, SLICE seconds each: see benchmarks.sometimes_watched
WITHOUT = len(WAYS) - 1
SLICE = 1.0
COUNTED = 0.7  # the last part of each slice


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.watching")
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--clients", type=int, default=USUAL)
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, load before: {os.getloadavg()[0]:.2f}")
    settings = {"DJANGO_SETTINGS_MODULE": "benchmarks.sometimes_watched"}
    with service(API_KEY_REQUIRED="true", WEB_CONCURRENCY="2", **settings) as measured:
        measured.manage("load_demo", "--sales", str(START))
        with measured.serving() as gunicorn:
            bench = SinglesBench(measured, gunicorn)
            bench.run("/ingest", options.clients, seconds=3)  # warm-up
            with measured.connect_database() as database:
                last = database.execute("SELECT max(id) FROM sales").fetchall()[0][0]
            bench.run("/ingest", options.clients, options.seconds)
            with measured.connect_database() as database:
                counts = database.execute(
                    "SELECT floor(slice)::bigint, count(*)"
                    " FROM sales, LATERAL (SELECT extract(epoch FROM received_at) / %s::numeric AS slice) AS _"
                    " WHERE id > %s AND slice %% 1 > %s GROUP BY 1 ORDER BY 1",
                    (SLICE, last, 1 - COUNTED),
                ).fetchall()
    report(counts[1:-1])


def report(counts: list[tuple[int, int]]) -> None:
    """Print the mean rate of each way, and its part of the rate without."""
    rates = [
        [count / SLICE / COUNTED for number, count in counts if number % len(WAYS) == way] for way in range(len(WAYS))
    ]
    without = fmean(rates[WITHOUT])
    for way, values in zip(WAYS, rates, strict=True):
        error = stdev(values) / len(values) ** 0.5 / without
        print(f"{way:<8}{fmean(values):>8,.0f} events/s   {fmean(values) / without:.3f} ± {error:.3f} of that without")
    print("target: at least 0.95")


if __name__ == "__main__":
    main()
