"""Lets what waits at the same time share one commit: a commit costs about the same for one as for many."""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from django.db import DataError, IntegrityError

Item = TypeVar("Item")
Result = TypeVar("Result")

# The database refused, so nothing was stored: each item may be tried by itself. After any other error, such as a
# connection that broke off while committing, nobody knows, and trying again could store twice.
SURELY_NOT_STORED = (DataError, IntegrityError)


class _Waiting(Generic[Item, Result]):
    """One caller's item, and what becomes of it."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.result: Result | None = None
        self.error: BaseException | None = None
        self.leads = False
        self.woken = threading.Event()


class GroupCommit(Generic[Item, Result]):
    """Writes the items of concurrent callers together, through `write`: items -> their results, in the same order.

    The first caller writes at once. Who comes meanwhile waits; when the write is done, one of them writes for all that
    wait by then. Nobody ever waits for more to come.
    """

    def __init__(self, write: Callable[[Sequence[Item]], Sequence[Result]], at_most: int) -> None:
        self._write = write
        self._at_most = at_most
        self._queue: list[_Waiting[Item, Result]] = []
        self._is_writing = False
        self._lock = threading.Lock()

    def submit(self, item: Item) -> Result:
        """Write the item, with others or alone; its result once it is committed. Raises what `write` raises."""
        mine: _Waiting[Item, Result] = _Waiting(item)
        with self._lock:
            self._queue.append(mine)
            mine.leads = not self._is_writing
            self._is_writing = True
        if not mine.leads:
            mine.woken.wait()
        if mine.leads:
            self._lead()
        if isinstance(mine.error, SURELY_NOT_STORED):
            return self._write([item])[0]
        if mine.error is not None:
            raise mine.error
        return mine.result  # type: ignore[return-value]

    def _lead(self) -> None:
        """Write for all that wait, the caller among them, then let the next one lead."""
        with self._lock:
            group, self._queue = self._queue[: self._at_most], self._queue[self._at_most :]
        try:
            for waiting, result in zip(group, self._write([each.item for each in group]), strict=True):
                waiting.result = result
        except BaseException as error:
            for waiting in group:
                waiting.error = error
            if not isinstance(error, Exception):
                raise
        finally:
            with self._lock:
                self._is_writing = bool(self._queue)
                following = self._queue[:1]
            for waiting in following:
                waiting.leads = True
            for waiting in group + following:
                waiting.woken.set()
