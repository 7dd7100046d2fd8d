"""Delete old rows in small batches."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.admin.models import DELETION
from django.db import connection, transaction
from django.db.models import Model
from django.utils import timezone
from psycopg import sql

from salesengine.accounts.audit_log import record_command

BATCH_SIZE = 5_000  # rows per transaction, so that no lock is held for long and an interruption loses little


@dataclass(frozen=True)
class PurgedTable:
    """A table whose oldest rows are deleted, the indexed column with a row's age, and what to call the rows."""

    model: type[Model]
    timestamp: str
    label: str


COUNT = "SELECT count(*) FROM {table} WHERE {timestamp} < %s"
# Skip rows that somebody else has locked, such as an event that is being replayed, until the next purge.
DELETE = """
    DELETE FROM {table} WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM {table} WHERE {timestamp} < %s ORDER BY {timestamp} LIMIT {limit} FOR UPDATE SKIP LOCKED
    ))
    """


def purge_older_than(purged: PurgedTable, age: timedelta, *, dry_run: bool) -> str:
    """Delete the rows older than `age`, or only count them. Return a sentence that says how many.

    A purge leaves an entry in the audit log.
    """
    before = timezone.now() - age
    if dry_run:
        return f"Would delete {count(purged, before):,} {purged.label}."
    deleted = 0
    try:
        for number in purge(purged, before):
            deleted += number
    finally:  # an interrupted purge has deleted rows too
        message = f"Deleted {deleted:,} {purged.label}."
        if deleted:
            record_command(purged.model, message, DELETION)
    return message


def count(purged: PurgedTable, before: datetime) -> int:
    """Count the rows that `purge` would delete."""
    with connection.cursor() as cursor:
        cursor.execute(_query(COUNT, purged), [before])
        number: int = cursor.fetchone()[0]
    return number


def purge(purged: PurgedTable, before: datetime) -> Iterator[int]:
    """Delete the rows from before `before`, the oldest first. Yield the number of rows after each transaction."""
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_query(DELETE, purged), [before])
            deleted = cursor.rowcount
        if deleted:
            yield deleted
        if deleted < BATCH_SIZE:
            return


def _query(template: str, purged: PurgedTable) -> sql.Composed:
    names = {"table": sql.Identifier(purged.model._meta.db_table), "timestamp": sql.Identifier(purged.timestamp)}
    return sql.SQL(template).format(**names, limit=sql.Literal(BATCH_SIZE))
