"""The command line: plan the rounds, run them in parallel, and print the table."""

import argparse
import os
import resource
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from random import Random

os.environ["DJANGO_SETTINGS_MODULE"] = "salesengine.settings"

from salesengine.tests import faults
from salesengine.tests.faults.database import small_disk
from salesengine.tests.faults.lane import INJECTIONS, NEEDS_COMPILER, NEEDS_DISK, RARE
from salesengine.tests.faults.report import late, table
from salesengine.tests.faults.rounds import Round, run_round
from salesengine.tests.servers import made_once

ROUND = 10  # faults; a longer round has more sales to count after each of them


def main() -> None:
    options = parse()
    start = time.monotonic()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # for a thousand idle clients
    source = made_once() / "postgres"
    kinds = list(islice(sequence(possible(options.kinds), Random(options.seed)), options.injections))
    plans = [
        Round(options.seed, number, kinds[first : first + ROUND], source, start + options.minutes * 60)
        for number, first in enumerate(range(0, len(kinds), ROUND))
        if number in (options.rounds or [number])
    ]
    with ProcessPoolExecutor(options.lanes) as pool:
        results = [result for done in pool.map(run_round, plans) for result in done]
    sys.stdout.write(f"{table(results)}\n\n{len(results)} of {len(kinds)} faults in {time.monotonic() - start:.0f} s\n")
    violations = [(result, text) for result in results for text in result.violations]
    for result, text in violations:
        sys.stdout.write(f"seed {options.seed}, round {result.round}, {result.kind}: {text}\n")
    delays = late(results)
    sys.stdout.writelines(f"{text}\n" for text in delays)
    if violations or delays or not results:
        sys.exit(1)


def possible(kinds: Sequence[str]) -> list[str]:
    """Return the kinds that this machine has what it takes for."""
    impossible = set()
    with small_disk() as disk:
        if not disk.is_mount():
            sys.stderr.write("The faults with a full disk are left out: they require root, to mount a disk\n")
            impossible |= NEEDS_DISK
    if not shutil.which("cc"):
        sys.stderr.write("The fault with a wrong clock is left out: it requires a C compiler\n")
        impossible |= NEEDS_COMPILER
    return [kind for kind in kinds if kind not in impossible]


def sequence(kinds: Sequence[str], random: Random) -> Iterator[str]:
    """Yield all kinds in a random order, again and again, the rare ones every third time."""
    turn = 0
    while True:
        chosen = [kind for kind in kinds if kind not in RARE or turn % 3 == 0]
        random.shuffle(chosen)
        yield from chosen
        turn += 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m salesengine.tests.faults",
        description=faults.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--injections", type=int, default=100, metavar="N")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--minutes", type=float, default=8, help="begin no fault after this time")
    parser.add_argument("--lanes", type=int, default=2, help="rounds that run at the same time")
    parser.add_argument("--kinds", nargs="+", choices=sorted(INJECTIONS), default=sorted(INJECTIONS), metavar="KIND")
    parser.add_argument("--rounds", type=int, nargs="+", metavar="NUMBER", help="run only these rounds of the seed")
    return parser.parse_args()


if __name__ == "__main__":
    main()
