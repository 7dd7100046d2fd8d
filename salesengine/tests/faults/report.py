"""The table of a run: what was injected, and what the service made of it."""

import statistics
from collections import defaultdict
from collections.abc import Sequence

from salesengine.tests.faults.rounds import Result

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
