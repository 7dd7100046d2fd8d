"""How fast sales come in: single events, batches, and files, each beside what it can be held against.

    .venv/bin/python -m benchmarks.ingest [singles|batches|files] [--rounds N] [--events N] [--bare]

Without a name it measures all three. Single events need the load generator `wrk` (Debian and Ubuntu: apt install wrk).
Whatever is compared is measured in turns in one run, and the figures are medians of the rounds. Absolute figures are
the machine's, on which load and database run too; the ratios are what counts. Each part ends with verify_feedback.
"""

import os
from argparse import ArgumentParser

from benchmarks import batches, files, singles

PARTS = ("singles", "batches", "files")


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.ingest")
    parser.add_argument("part", nargs="?", choices=PARTS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=2_000_000, help="in the file (default: %(default)s)")
    parser.add_argument("--bare", action="store_true", help="batches into a table without its secondary indexes")
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
