"""Keep the threads of each worker on one processor, if every processor has a worker.

Only one of these threads runs Python code at a time, and they share most of their memory, which is then in the cache of
that processor. docs/decisions.md tells what this gains.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager


class Processors:
    """The processors that the process may use, and the worker's own one among them."""

    def __init__(self, place: int, workers: int) -> None:
        """`place` counts the workers from 0. With fewer workers than processors, the worker's own are all of them."""
        self.all = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()  # Linux only
        self.own = {sorted(self.all)[place % len(self.all)]} if 0 < len(self.all) <= workers else self.all

    def stay(self) -> None:
        """Keep this thread, and those that it starts from now on, on the worker's own processor."""
        if self.own != self.all:
            os.sched_setaffinity(0, self.own)

    @contextmanager
    def any(self) -> Iterator[None]:
        """Let this thread use every processor: during a large request, the database works beside it."""
        if self.own == self.all:
            yield
            return
        os.sched_setaffinity(0, self.all)
        try:
            yield
        finally:
            self.stay()
