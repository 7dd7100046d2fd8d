"""Delete old rows from a table in small transactions."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.utils import timezone
from psycopg import sql

BATCH_SIZE = 5_000  # rows in one transaction: short locks, and an interruption undoes little


@dataclass(frozen=True)
class PurgedTable:
    """A table whose oldest rows may be deleted."""

    table: str
    timestamp_column: str  # tells a row's age; needs an index
    label: str  # what the rows are, in the plural


COUNT = "SELECT count(*) FROM {table} WHERE {timestamp} < %s"
# Skip locked rows, such as an event that is being replayed; the next purge deletes them.
DELETE = """
    DELETE FROM {table} WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM {table} WHERE {timestamp} < %s ORDER BY {timestamp} LIMIT {limit} FOR UPDATE SKIP LOCKED
    ))
    """


def purge_older_than(table: PurgedTable, age: timedelta, *, dry_run: bool) -> str:
    """Delete the rows older than `age`, or only count them in a dry run. Return a sentence that says how many."""
    before = timezone.now() - age
    if dry_run:
        return f"Would delete {count(table, before):,} {table.label}."
    return f"Deleted {sum(purge(table, before)):,} {table.label}."


def count(table: PurgedTable, before: datetime) -> int:
    """Return the number of rows that `purge` would delete."""
    with connection.cursor() as cursor:
        cursor.execute(_statement(COUNT, table), [before])
        number: int = cursor.fetchone()[0]
    return number


def purge(table: PurgedTable, before: datetime) -> Iterator[int]:
    """Delete the rows from before a time, oldest first. Yield the number of rows after each transaction."""
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_statement(DELETE, table), [before])
            deleted = cursor.rowcount
        if deleted:
            yield deleted
        if deleted < BATCH_SIZE:
            return


def _statement(template: str, table: PurgedTable) -> sql.Composed:
    return sql.SQL(template).format(
        table=sql.Identifier(table.table),
        timestamp=sql.Identifier(table.timestamp_column),
        limit=sql.Literal(BATCH_SIZE),
    )
