"""Make the partition of a month when its first sale comes in.

No request waits for it: until a thread has made the partition, the sales are in OTHERS, from where they move. Commands
that write many sales make their months first.
"""

import datetime
import logging
import math
import time
from collections.abc import Iterable

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from psycopg.errors import LockNotAvailable

from sales.partitions.months import INDEXES, OPTIONS, OTHERS, PARTITIONS, Month

MAX_YEARS = 50  # months that are older have no partition, whatever EARLIEST_PAYMENT_DATE says
LOCK = 0x4D4F4E54  # the key of the advisory lock of making a month
# Short in a thread, because later requests queue behind this lock. Longer in a command.
LOCK_TIMEOUT, PATIENT_LOCK_TIMEOUT = "50ms", "5s"
RETRY_INTERVAL = 10  # seconds, in each process
MOVE_LIMIT = 10_000  # sales: nobody can use `sales` while they move

COUNT_OTHERS = f"""
    SELECT count(*) FROM (
        SELECT 1 FROM {OTHERS} WHERE date_payment >= %(start)s AND date_payment < %(stop)s LIMIT {MOVE_LIMIT + 1}
    ) AS counted
    """  # noqa: S608  # names only
LATER = "The sales of %s stay in %s until manage.py prepare moves them, because more than %s are there already"

logger = logging.getLogger(__name__)

_known: frozenset[Month] = frozenset()  # months that have a partition
_retry_at = -math.inf  # on the monotonic clock


def is_due(days: Iterable[datetime.date]) -> bool:
    """Return whether to make partitions of these days now, as far as this process knows."""
    unknown = {Month.of(day) for day in set(days)} - _known
    return bool(unknown) and time.monotonic() >= _retry_at and bool(_plausible(unknown))


def make_months(days: Iterable[datetime.date], *, patient: bool = False) -> None:
    """Make the missing partitions of these days, of this month and of the next.

    A month that cannot be made now is made later, with the next sale in it. `patient` waits longer for other sessions.
    """
    global _retry_at
    this_month = Month.of(datetime.datetime.now(datetime.UTC))
    missing = _missing(_plausible({*map(Month.of, days), this_month, this_month.next}))
    if not missing or (time.monotonic() < _retry_at and not patient):
        return
    try:
        for month in sorted(missing):
            _make(month, patient=patient)
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        _retry_at = time.monotonic() + RETRY_INTERVAL


def months_of_others() -> list[datetime.date]:
    """Return the first day of each month of which sales are in OTHERS."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT DISTINCT date_trunc('month', date_payment, 'UTC') FROM {OTHERS}")  # noqa: S608  # a name
        return [start.date() for (start,) in cursor]


def forget_month(month: Month) -> None:
    """Forget that a month has a partition, because it was dropped. Other processes do not make it again."""
    global _known
    _known -= {month}


def _plausible(months: set[Month]) -> set[Month]:
    """Return those of the months that may have a partition."""
    this_month = Month.of(datetime.datetime.now(datetime.UTC))
    oldest = max(Month.of(settings.EARLIEST_PAYMENT_DATE), Month(this_month.year - MAX_YEARS, 1))
    return {month for month in months if oldest <= month <= this_month.next}


def _missing(months: set[Month]) -> set[Month]:
    global _known
    if months <= _known:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(PARTITIONS)
        ranges = [(start, stop) for _, start, stop in cursor if start or stop]
    _known |= {
        month
        for month in months
        if any((start is None or start <= month.start) and month.start < stop for start, stop in ranges)
    }
    return months - _known


def _make(month: Month, *, patient: bool) -> None:
    global _known
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('lock_timeout', %s, true), pg_advisory_xact_lock(%s)",
            [PATIENT_LOCK_TIMEOUT if patient else LOCK_TIMEOUT, LOCK],
        )
        cursor.execute("SELECT to_regclass(%s)", [month.table])
        if cursor.fetchone()[0]:  # another process has made it
            return
        if not patient and _has_too_many_others(cursor, month):
            _known |= {month}
            logger.warning(LATER, month, OTHERS, f"{MOVE_LIMIT:,}")
            return
        cursor.execute(f"CREATE TABLE {month.table} (LIKE sales INCLUDING DEFAULTS INCLUDING INDEXES)")
        cursor.execute(f"ALTER TABLE {month.table} {OPTIONS}")
        for name, definition in INDEXES.items():
            cursor.execute(f"CREATE INDEX {month.table}_{name} ON {month.table} {definition}")
        _attach(cursor, month)


def _has_too_many_others(cursor: CursorWrapper, month: Month) -> bool:
    """Return whether more sales of the month are in OTHERS than a thread may move."""
    cursor.execute(COUNT_OTHERS, {"start": month.start, "stop": month.next.start})
    number: int = cursor.fetchone()[0]
    return number > MOVE_LIMIT


def _attach(cursor: CursorWrapper, month: Month) -> None:
    """Move the sales of the month to its partition, in a moment in which nobody uses `sales`.

    A lock of OTHERS would not be enough: a statement that was planned before would not find the sales that have moved.
    """
    start, stop = month.start.isoformat(), month.next.start.isoformat()
    cursor.execute("LOCK TABLE sales IN ACCESS EXCLUSIVE MODE")
    cursor.execute(
        f"""
        WITH moved AS (
            DELETE FROM {OTHERS} WHERE date_payment >= '{start}' AND date_payment < '{stop}' RETURNING *
        )
        INSERT INTO {month.table} SELECT * FROM moved
        """  # noqa: S608  # names and dates only
    )
    cursor.execute(f"ALTER TABLE sales ATTACH PARTITION {month.table} FOR VALUES FROM ('{start}') TO ('{stop}')")
