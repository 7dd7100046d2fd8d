"""Let concurrent writes share one commit, because a commit costs about the same for one item as for many."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from django.db import DataError, IntegrityError

from salesengine.http.errors import DatabaseUnavailable, OutcomeUnknown

Item = TypeVar("Item")
Result = TypeVar("Result")

# After these errors nothing was stored, so each item can be written again on its own. After any other error, such as
# a connection that failed during the commit, the outcome is unknown, and a retry could store the item twice.
NOTHING_STORED = (DataError, IntegrityError)


class _Waiter(Generic[Item, Result]):
    """One caller's item, and the result or error of its write."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.result: Result | None = None
        self.error: BaseException | None = None
        self.is_leader = False
        self.sleep = threading.Lock()  # held until this caller is woken; a third of the cost of an Event
        self.sleep.acquire()


class GroupCommit(Generic[Item, Result]):
    """Write the items of concurrent callers together.

    The first caller writes at once. Callers that arrive during a write wait for its end; then one of them leads: it
    writes the items of all callers that are waiting by then. If the write before had several items, the leader first
    waits for `pause` seconds, so that the callers of that write can join with their next items.

    No caller waits longer than `max_wait` seconds for others, whose write may be stuck.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Sequence[Result]],
        max_group_size: int,
        max_wait: float,
        pause: Callable[[], float] = lambda: 0,
    ) -> None:
        """`write` stores items, and returns their results in the same order. `pause` must not raise errors."""
        self._write, self._pause = write, pause
        self._max_group_size, self._max_wait = max_group_size, max_wait
        self._is_shared = False  # whether the last write had several items
        self._queue: list[_Waiter[Item, Result]] = []
        self._is_writing = False
        self._lock = threading.Lock()

    def submit(self, item: Item) -> Result:
        """Write the item, and return its result once it is committed.

        Raises what `write` raises, and after `max_wait` DatabaseUnavailable if nobody has begun to write the item, or
        OutcomeUnknown.
        """
        mine: _Waiter[Item, Result] = _Waiter(item)
        with self._lock:
            self._queue.append(mine)
            mine.is_leader = not self._is_writing
            self._is_writing = True
        if not mine.is_leader and not mine.sleep.acquire(timeout=self._max_wait):
            self._give_up(mine)
        if mine.is_leader:
            self._lead()
        if isinstance(mine.error, NOTHING_STORED):
            return self._write([item])[0]
        if mine.error is not None:
            raise mine.error
        return mine.result  # type: ignore[return-value]

    def _give_up(self, mine: _Waiter[Item, Result]) -> None:
        """Stop waiting, unless this caller was woken just now."""
        with self._lock:
            if not mine.sleep.locked():
                return
            if mine not in self._queue:
                raise OutcomeUnknown
            self._queue.remove(mine)
        raise DatabaseUnavailable("Other events are taking too long to store. Nothing of this request was stored.")

    def _lead(self) -> None:
        """Write the items of the waiting callers, this one's among them. Then wake them and the next leader."""
        if self._is_shared and (seconds := self._pause()):
            time.sleep(seconds)
        with self._lock:
            group, self._queue = self._queue[: self._max_group_size], self._queue[self._max_group_size :]
        self._is_shared = len(group) > 1
        try:
            for waiter, result in zip(group, self._write([waiter.item for waiter in group]), strict=True):
                waiter.result = result
        except BaseException as error:
            for waiter in group:
                waiter.error = error
            if not isinstance(error, Exception):
                raise
        finally:
            with self._lock:
                self._is_writing = bool(self._queue)
                next_leaders = self._queue[:1]
                for waiter in next_leaders:
                    waiter.is_leader = True
                for waiter in group[1:] + next_leaders:  # this caller is the first of the group, and awake
                    waiter.sleep.release()
