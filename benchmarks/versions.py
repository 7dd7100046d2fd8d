"""Measure single events against another version of the service: POST /ingest with an API key, both in turns.

    .venv/bin/python -m benchmarks.versions FOLDER [--rounds N] [--clients N]

FOLDER is a checkout of the other version, such as one by `git worktree add`. Needs `wrk`. Both versions run on the same
installed packages, each with its own database; the one that is not measured waits. The results are medians.
"""

import os
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.service import ROOT, note, service
from benchmarks.singles import START, USUAL, SinglesBench, WrkRun

VERSIONS = OTHER, THIS = "other", "this"


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.versions")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clients", type=int, default=USUAL)
    parser.add_argument("--seconds", type=int, default=5, help="of each run (default: %(default)s)")
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, load before: {os.getloadavg()[0]:.2f}")
    runs: dict[str, list[WrkRun]] = {version: [] for version in VERSIONS}
    with ExitStack() as stack:
        benches = {}
        for version, root in zip(VERSIONS, (options.folder.resolve(), ROOT), strict=True):
            measured = stack.enter_context(service(root, API_KEY_REQUIRED="true", WEB_CONCURRENCY="2"))
            measured.manage("load_demo", "--sales", str(START))
            benches[version] = SinglesBench(measured, stack.enter_context(measured.serving()))
            benches[version].run("/ingest", options.clients, seconds=3)  # warm-up
        for number in range(options.rounds):
            for version in VERSIONS if number % 2 else reversed(VERSIONS):
                run = benches[version].run("/ingest", options.clients, options.seconds)
                runs[version].append(run)
                note(f"round {number + 1}: {version} {run.rate:,.0f}/s, {run.microseconds()[1]:.0f} us of the service")
    report(runs)


def report(runs: dict[str, list[WrkRun]]) -> None:
    print(
        f"{'version':<10}{'events/s':>10}{'lowest':>10}{'p50 ms':>9}{'p99 ms':>9}   CPU us per event: service, database"
    )
    for version, measured in runs.items():
        rates = [run.rate for run in measured]
        p50, p99 = (median(getattr(run.load, name) for run in measured) for name in ("p50", "p99"))
        service_cost, database_cost = (median(run.microseconds()[part] for run in measured) for part in (1, 2))
        print(
            f"{version:<10}{median(rates):>10,.0f}{min(rates):>10,.0f}{p50:>9.1f}{p99:>9.1f}"
            f"   {service_cost:>8.0f}{database_cost:>8.0f}"
        )
    ratios = [this.rate / other.rate for this, other in zip(runs[THIS], runs[OTHER], strict=True)]
    print(f"{THIS} / {OTHER}     {median(ratios):.2f}    target: at least 1.60")


if __name__ == "__main__":
    main()
