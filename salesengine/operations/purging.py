"""Deletes what has been kept long enough, a little at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.admin.models import DELETION
from django.db import connection, transaction
from django.db.models import Model
from django.utils import timezone
from psycopg import sql

from salesengine.accounts.audit_log import record_command

AT_ONCE = 5_000  # rows in one transaction: no lock is held for long, and an interruption loses little


@dataclass(frozen=True)
class PurgedTable:
    """A table of which the oldest rows are deleted; `moment` is the column, with an index, that says how old."""

    model: type[Model]
    moment: str
    name: str


COUNT = "SELECT count(*) FROM {table} WHERE {moment} < %s"
# What somebody else has locked, such as an event that is being replayed, waits for the next purge.
DELETE = """
    DELETE FROM {table} WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM {table} WHERE {moment} < %s ORDER BY {moment} LIMIT {most} FOR UPDATE SKIP LOCKED
    ))
    """


def purge_older_than(kept: PurgedTable, age: timedelta, *, dry_run: bool) -> str:
    """Delete what is older, or only count it; what was done, in words."""
    before = timezone.now() - age
    if dry_run:
        return f"Would delete {count(kept, before):,} {kept.name}."
    deleted = 0
    try:
        for number in purge(kept, before):
            deleted += number
    finally:  # an interrupted purge has deleted rows too
        message = f"Deleted {deleted:,} {kept.name}."
        if deleted:
            record_command(kept.model, message, DELETION)
    return message


def count(kept: PurgedTable, before: datetime) -> int:
    """How many rows `purge` would delete."""
    with connection.cursor() as cursor:
        cursor.execute(_query(COUNT, kept), [before])
        number: int = cursor.fetchone()[0]
    return number


def purge(kept: PurgedTable, before: datetime) -> Iterator[int]:
    """Delete the rows from before a moment, the oldest first; after each transaction how many it deleted."""
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_query(DELETE, kept), [before])
            deleted = cursor.rowcount
        if deleted:
            yield deleted
        if deleted < AT_ONCE:
            return


def _query(text: str, kept: PurgedTable) -> sql.Composed:
    names = {"table": sql.Identifier(kept.model._meta.db_table), "moment": sql.Identifier(kept.moment)}
    return sql.SQL(text).format(**names, most=sql.Literal(AT_ONCE))
