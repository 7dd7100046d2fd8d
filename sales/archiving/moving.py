"""Move the sales of a month to a file: write it, compare it with the sales, and only then let them go.

Each step can be interrupted: until the last, short transaction the sales are in the database, and after it they are in
the verified file. A month that changes before that transaction is written again.
"""

import datetime
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DEFAULT_DB_ALIAS, OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Min
from psycopg.errors import LockNotAvailable

from sales.archiving.places import Place
from sales.archiving.writing import MonthChanged, WrittenMonth, period_of, require_unchanged, write_month
from sales.models import ArchivedMonth, Sale
from sales.partitions.making import forget_month
from sales.partitions.months import Month
from sales.totals import folding
from salesengine.accounts.audit_log import system_user
from salesengine.backups.manifests import BackupError
from salesengine.database import session_lock
from salesengine.distribution import is_distributed

LOCK = 0x41524348  # the key of the advisory lock of archiving and restoring
LOCK_TIMEOUT = "50ms"  # requests that come later wait behind the lock of `sales`
RETRY_PAUSE = 0.5  # seconds
LOCK_ATTEMPTS = 1_200  # ten minutes, for reports that are reading
WRITE_ATTEMPTS = 5
ON_CLUSTER = (
    "Sales on a cluster cannot be archived or restored. Bring them back to one server first, with manage.py distribute"
    " --reverse."
)

DELETE = """
    WITH gone AS (
        DELETE FROM sales WHERE date_payment >= %(start)s AND date_payment < %(stop)s RETURNING id
    )
    SELECT range_agg(int8range(id, id, '[]')) = %(ids)s::int8multirange FROM gone
    """


@contextmanager
def archive_lock() -> Iterator[None]:
    """Let one process at a time archive or restore. Raises BackupError while another one does, and on a cluster.

    Both need one snapshot of all sales, which a cluster does not have.
    """
    if is_distributed(DEFAULT_DB_ALIAS):
        raise BackupError(ON_CLUSTER)
    with session_lock(LOCK, if_held=BackupError("Another process is archiving or restoring sales.")):
        yield


def months_with_sales(before: Month) -> Iterator[Month]:
    """Yield the months before another one that have sales in the database, from the oldest to the newest."""
    sales = Sale.objects.filter(date_payment__lt=before.start)
    while first := sales.aggregate(first=Min("date_payment"))["first"]:
        month = Month.of(first.astimezone(datetime.UTC))
        yield month
        sales = sales.filter(date_payment__gte=month.next.start)


def partition_of(month: Month) -> str:
    """Return the name of the partition that has the sales of the month."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tableoid::regclass::text FROM sales WHERE date_payment >= %(start)s AND date_payment < %(stop)s"
            " LIMIT 1",
            period_of(month),
        )
        row = cursor.fetchone()
    return row[0] if row else month.table


def archive_month(month: Month, place: Place) -> ArchivedMonth:
    """Move the sales of a month that has ended to a place. The caller holds `archive_lock`.

    Raises BackupError and OSError.
    """
    for _ in range(WRITE_ATTEMPTS):
        folding.fold_all(wait=True)
        recorded = set(ArchivedMonth.objects.filter(month=month.first_day).values_list("part", flat=True))
        try:
            return _let_go(month, write_month(month, recorded, place))
        except MonthChanged:
            continue
    raise BackupError(f"Sales of {month} keep coming in or being voided. Run the command again later.")


def _let_go(month: Month, written: WrittenMonth) -> ArchivedMonth:
    """Record the archive and remove its sales from the database, in one transaction. Raises MonthChanged."""
    has_partition = partition_of(month) == month.table
    with transaction.atomic(), connection.cursor() as cursor:
        record = _record(month, written)  # first, because its figures may have megabytes, and the lock should be short
        if has_partition:
            _lock_sales(cursor)
            require_unchanged(cursor, month, written.position)
            cursor.execute(f"ALTER TABLE sales DETACH PARTITION {month.table}; DROP TABLE {month.table}")
        else:
            _delete(cursor, month, written)
    forget_month(month)
    return record


def _lock_sales(cursor: CursorWrapper) -> None:
    """Lock all of `sales` in a moment in which no statement uses it, instead of letting others queue up behind this."""
    cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    for _ in range(LOCK_ATTEMPTS):
        try:
            with transaction.atomic():
                cursor.execute("LOCK TABLE sales IN ACCESS EXCLUSIVE MODE")
            return
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable):
                raise
        time.sleep(RETRY_PAUSE)
    raise BackupError("Other sessions use the sales without a pause. Run the command again later.")


def _delete(cursor: CursorWrapper, month: Month, written: WrittenMonth) -> None:
    """Delete exactly the sales in the file. Raises MonthChanged if others are there; those that come later stay."""
    cursor.execute(DELETE, period_of(month) | {"ids": written.sales.sale_ids})
    if not cursor.fetchone()[0]:
        raise MonthChanged


def _record(month: Month, written: WrittenMonth) -> ArchivedMonth:
    sales, manifest = written.sales, written.manifest
    return ArchivedMonth.objects.create(
        month=month.first_day,
        part=manifest.part,
        url=written.url,
        sha256=manifest.sha256,
        sales_count=sales.sales_count,
        revenue=sales.revenue,
        sale_ids=sales.sale_ids,
        first_id=sales.first_id,
        last_id=sales.last_id,
        received_at=sales.received_at,
        tallies=written.tallies,
        trades=written.trades,
        archived_by=system_user(),
    )
