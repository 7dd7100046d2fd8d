"""How long work shows that it goes on: a bar on a terminal, a line now and then elsewhere. Always on standard error."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

INTERVAL = 10  # seconds between lines, where nobody knows what a tenth is


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show the progress of work on `total` things, or nobody knows how many; call what is yielded with how many more
    are done."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(console, label, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(label, total=total)
        yield lambda number: bar.advance(task, number)


def _lines(console: Console, label: str, total: int | None) -> Callable[[int], None]:
    """Say how far the work is, at each tenth of it, or every now and then."""
    done = steps = 0
    start = time.monotonic()

    def advance(number: int) -> None:
        nonlocal done, steps
        done += number
        reached = int((time.monotonic() - start) / INTERVAL) if total is None else done * 10 // max(total, 1)
        if reached > steps:
            steps = reached
            known = "" if total is None else f" of {total:,}"
            console.print(f"{label}: {done:,}{known}", highlight=False, soft_wrap=True)

    return advance
