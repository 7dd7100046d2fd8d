"""Show the progress of long work on standard error: a bar on a terminal, otherwise an occasional line."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

INTERVAL = 10  # seconds between lines if the total is unknown

Advance = Callable[[int], object]  # is called with the number of items done since the last call


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Advance]:
    """Show the progress of work on `total` items, or on an unknown number of items if `total` is None.

    Yields the function to call as the work advances.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(console, label, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(label, total=total)
        yield lambda count: bar.advance(task, count)


def _lines(console: Console, label: str, total: int | None) -> Advance:
    """Return a function that prints a line at each tenth of `total`, or every INTERVAL seconds if that is unknown."""
    done = printed_steps = 0
    start = time.monotonic()

    def advance(count: int) -> None:
        nonlocal done, printed_steps
        done += count
        steps = int((time.monotonic() - start) / INTERVAL) if total is None else done * 10 // max(total, 1)
        if steps > printed_steps:
            printed_steps = steps
            of_total = "" if total is None else f" of {total:,}"
            console.print(f"{label}: {done:,}{of_total}", highlight=False, soft_wrap=True)

    return advance
