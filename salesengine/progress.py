"""How long work shows that it goes on: a bar on a terminal, a line now and then elsewhere. Always on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show the progress of work on `total` things; call what is yielded with the number of things just done."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(console, label, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(label, total=total)
        yield lambda number: bar.advance(task, number)


def _lines(console: Console, label: str, total: int) -> Callable[[int], None]:
    """Say how far the work is, at each tenth of it."""
    done = 0

    def advance(number: int) -> None:
        nonlocal done
        tenths_before, done = done * 10 // max(total, 1), done + number
        if done * 10 // max(total, 1) > tenths_before:
            console.print(f"{label}: {done:,} of {total:,}", highlight=False)

    return advance
