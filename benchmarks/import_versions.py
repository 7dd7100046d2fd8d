"""Compare `manage.py import_sales` with that of another version of the project, for example in a git worktree.

    .venv/bin/python -m benchmarks.import_versions OTHER [--rounds N] [--events N]

The versions take turns, each time with a new database, and the results are medians. Both run with the packages of this
version. CPU time depends less on other load than the duration does. It includes the start of the command.
"""

import resource
from argparse import ArgumentParser
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.files import MEGABYTE, import_sales
from benchmarks.service import ROOT, cpu_seconds, note, service

MICROSECONDS = 1_000_000


class Figures(NamedTuple):
    """What one import took."""

    rate: float  # events/s
    client: float  # CPU time of the command, in µs per event
    database: float  # that of PostgreSQL
    memory: float  # at most, in MB


def measure(other: Path, rounds: int, events: int) -> None:
    versions: dict[str, tuple[Path, list[Figures]]] = {"other": (other, []), "this": (ROOT, [])}
    with service() as files:
        file = files.write_events(events)
        for number in range(rounds):
            for name in list(versions)[:: 1 if number % 2 else -1]:
                root, figures = versions[name]
                figures.append(run(root, file, events))
                note(f"round {number + 1}: {name}: {describe(figures[-1])}")
    medians = {name: Figures(*map(median, zip(*figures, strict=True))) for name, (_, figures) in versions.items()}
    for name, figures_of_version in medians.items():
        print(f"{name:<8}{describe(figures_of_version)}")
    print(f"this / other          {medians['this'].rate / medians['other'].rate:>6.2f}    target: at least 1.5")


def run(root: Path, file: Path, events: int) -> Figures:
    with service(root) as measured, measured.serving():  # keeps the database running
        postmaster = measured.postmaster()
        before = cpu_seconds(postmaster), _client_seconds()
        done = import_sales(measured, file)
        database, client = cpu_seconds(postmaster) - before[0], _client_seconds() - before[1]
    per_event = MICROSECONDS / events
    return Figures(events / done.seconds, client * per_event, database * per_event, max(done.memory) / MEGABYTE)


def _client_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)  # of processes that have ended
    return usage.ru_utime + usage.ru_stime


def describe(figures: Figures) -> str:
    return (
        f"{figures.rate:>10,.0f} events/s, CPU per event {figures.client:.1f} µs and {figures.database:.1f} µs in "
        f"PostgreSQL, {figures.memory:,.0f} MB"
    )


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.import_versions")
    parser.add_argument("other", type=Path, help="the folder of the other version")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=2_000_000, help="events in the file (default: %(default)s)")
    options = parser.parse_args()
    measure(options.other.resolve(), options.rounds, options.events)


if __name__ == "__main__":
    main()
