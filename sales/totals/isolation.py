"""Keep folds, checks and repairs of the totals from disturbing each other."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DEFAULT_DB_ALIAS, connection, transaction
from django.db.backends.utils import CursorWrapper

from salesengine.distribution import is_distributed

FOLD_LOCK = 0x53414C45  # the key of the advisory lock that folds and repairs share
REPAIR_LOCK = FOLD_LOCK + 1  # prevents two repairs from making the same correction
# Run this before a transaction takes its snapshot. Until the transaction ends, no partition is made or dropped.
# Otherwise a statement would read the new partitions with the old snapshot, and miss sales that have moved.
KEEP_MONTHS = "LOCK TABLE sales IN ACCESS SHARE MODE"


def lock_folds(cursor: CursorWrapper, *, wait: bool = False) -> bool:
    """Take the fold lock until the end of this transaction.

    If another session holds it, return False at once, or `wait` for it.
    """
    if wait:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [FOLD_LOCK])
        return True
    cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [FOLD_LOCK])
    is_locked: bool = cursor.fetchone()[0]
    return is_locked


@contextmanager
def snapshot() -> Iterator[None]:
    """Open a read-only transaction in which every statement sees the same committed data."""
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute(KEEP_MONTHS)
        yield


@contextmanager
def consistent_sales() -> Iterator[None]:
    """Open a transaction in which every statement sees the same committed sales, entries and totals.

    No snapshot spans the nodes of a cluster, so writers and folds wait there. Each write ends with its ledger entry,
    and its nodes have committed when it releases its locks.
    """
    is_cluster = is_distributed(DEFAULT_DB_ALIAS)  # before the transaction, because a query would take the snapshot
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            if is_cluster:  # first, because the next lock takes the snapshots of the workers
                cursor.execute("LOCK TABLE ledger IN SHARE MODE")
            cursor.execute(KEEP_MONTHS)
        yield
