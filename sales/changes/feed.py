"""Read changes in the order of their positions, and wait for new ones.

A page is complete, or it is an error: a change is never skipped. Reading again from a position gives the same changes.
"""

import time
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import NamedTuple

from django.conf import settings
from django.db import connection

from sales.changes.statements import READ_JSON, adapted
from sales.totals import folding
from sales.totals.ledger import stamped_position
from salesengine.http.errors import InvalidInput, PositionPurged, TookTooLong
from salesengine.operations.statement_timeout import StatementTimedOut, statement_timeout
from salesengine.server.worker_state import is_stopping

READ_TIMEOUT = 10  # seconds for one page
POLL_INTERVAL = 0.2  # seconds
# Of this process. A request that waits occupies a thread, so most threads remain for others.
waiting_slots = BoundedSemaphore(settings.WEB_THREADS // 4)


@dataclass(frozen=True)
class ChangesQuery:
    """Read at most `limit` changes after the position `after`, or only the last position if `after` is None.

    If there is no change, wait for one, up to `wait` seconds.
    """

    after: int | None = 0
    limit: int = 1_000
    wait: int = 0


class ChangesPage(NamedTuple):
    """Changes as JSON objects, and the position of the last one. `has_more` says whether there are more by now."""

    lines: str
    next: int
    has_more: bool
    waited: float  # seconds


def read_page(query: ChangesQuery, separator: str) -> ChangesPage:
    """Return the changes after a position, with `separator` between them. All that is committed by now is included.

    Raises InvalidInput for a position after the last one, PositionPurged and TookTooLong.
    """
    waited = 0.0
    last = last_position(None if query.after is None else query.after + query.limit)
    if query.after == last and query.wait:
        waited = _wait(query.after, query.wait)
        last = last_position(query.after + query.limit)
    after = last if query.after is None else query.after
    if after > last:
        raise InvalidInput(
            [{"parameter": "after", "detail": f"must not be greater than the last position, which is {last}"}],
            "No response had this position. If the database was restored to an earlier time, start again.",
        )
    end = min(after + query.limit, last)
    lines = _read_json(after, end, separator) if end > after else ""
    return ChangesPage(lines, end, has_more=end < last, waited=waited)


def last_position(wanted: int | None = None) -> int:
    """Fold everything that is committed, unless positions beyond `wanted` exist already. Return the last position."""
    last = stamped_position()
    if wanted is None or last <= wanted:
        folding.fold_all(wait=True)
        last = stamped_position()
    return last


def check_complete(count: int, after: int, end: int) -> None:
    """Raise PositionPurged unless these are all changes after a position. Positions have no gaps."""
    if count == end - after:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT MIN(position - accepted - voided) FROM ledger WHERE accepted + voided > 0")
        [first] = cursor.fetchone()
    if first is None or first > after:
        raise PositionPurged
    raise RuntimeError(f"There are {count} changes after position {after}, instead of {end - after}")


def _read_json(after: int, end: int, separator: str) -> str:
    try:
        with statement_timeout(READ_TIMEOUT), connection.cursor() as cursor:
            for statement in READ_JSON:
                cursor.execute(adapted(statement), {"after": after, "end": end, "separator": separator})
                count, lines = cursor.fetchone()
                if count == end - after:
                    break
    except StatementTimedOut:
        raise TookTooLong(f"Reading the changes took more than {READ_TIMEOUT} seconds. Lower the limit.") from None
    check_complete(count, after, end)
    text: str = lines
    return text


def _wait(after: int, seconds: int) -> float:
    """Wait until something is committed, up to `seconds`, but not if too many requests wait or the process ends.

    Return the seconds that this took.
    """
    if not waiting_slots.acquire(blocking=False):
        return 0
    started = time.monotonic()
    try:
        while not _has_changes(after) and time.monotonic() < started + seconds and not is_stopping.wait(POLL_INTERVAL):
            pass
    finally:
        waiting_slots.release()
    return time.monotonic() - started


def _has_changes(after: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT EXISTS (SELECT FROM ledger WHERE position > %s)
                OR EXISTS (SELECT FROM ledger WHERE position IS NULL AND accepted + voided > 0)
            """,
            [after],
        )
        has_changes: bool = cursor.fetchone()[0]
    return has_changes
