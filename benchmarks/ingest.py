"""Measure ingest: single events, batches and files, each compared with a baseline.

    .venv/bin/python -m benchmarks.ingest [singles|batches|files] [--rounds N] [--events N] [--bare]

By default, all three are measured. Single events need the load generator `wrk` (Debian and Ubuntu: apt install wrk).
The compared methods take turns in one run, and the results are medians of the rounds. Compare the ratios: the absolute
numbers depend on the machine, which also runs the load and the database. Each part ends with verify_feedback.
"""

import os
from argparse import ArgumentParser

from benchmarks import batches, files, singles

PARTS = ("singles", "batches", "files")


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.ingest")
    parser.add_argument("part", nargs="?", choices=PARTS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=2_000_000, help="events in the file (default: %(default)s)")
    parser.add_argument("--bare", action="store_true", help="measure batches without the secondary indexes")
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, load before: {os.getloadavg()[0]:.2f}")
    if options.part in (None, "singles"):
        singles.measure(options.rounds)
    if options.part in (None, "batches"):
        batches.measure(options.rounds, bare=options.bare)
    if options.part in (None, "files"):
        files.measure(options.rounds, options.events)


if __name__ == "__main__":
    main()
