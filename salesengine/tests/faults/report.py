"""The table of a run: what was injected, and what the service made of it."""

import statistics
from collections import defaultdict
from collections.abc import Sequence

from salesengine.tests.faults.lane import PROMISED
from salesengine.tests.faults.rounds import Result

BACK_WITHIN = 3  # seconds from the end of a fault to the next acknowledged sale, in the median of each kind
ONCE_WITHIN = 4  # times as long for a single fault, because other programs may keep the machine busy

HEADER = (
    "fault",
    "times",
    "events acknowledged",
    "lost",
    "doubled",
    "wrong",
    "wrong totals",
    "500",
    "back after (median, max)",
)


def table(results: Sequence[Result]) -> str:
    """Return a Markdown table with a row for each kind of fault and one for all."""
    by_kind: defaultdict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_kind[result.kind].append(result)
    rows = [HEADER, ("---",) * len(HEADER)]
    rows += [row(kind, group) for kind, group in sorted(by_kind.items())]
    rows.append(row("all", results))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def late(results: Sequence[Result]) -> list[str]:
    """Return the kinds after which the service was back later than promised."""
    by_kind: defaultdict[str, list[float]] = defaultdict(list)
    for result in results:
        if result.recovery is not None:
            by_kind[result.kind].append(result.recovery)
    return [
        f"{kind}: back after {statistics.median(times):.2f} s in the median and {max(times):.2f} s at most"
        for kind, times in by_kind.items()
        if statistics.median(times) > (promised := PROMISED.get(kind, BACK_WITHIN))
        or max(times) > ONCE_WITHIN * promised
    ]


def row(name: str, results: Sequence[Result]) -> tuple[str, ...]:
    times = [result.recovery for result in results if result.recovery is not None]
    back = f"{statistics.median(times):.2f} s, {max(times):.2f} s" if times else "-"
    numbers = (
        len(results),
        sum(result.acknowledged for result in results),
        sum(result.lost for result in results),
        sum(result.doubled for result in results),
        sum(result.wrong for result in results),
        sum(result.totals for result in results),
        sum(result.answers["500"] for result in results),
    )
    return (name, *(f"{number:,}" for number in numbers), back)
