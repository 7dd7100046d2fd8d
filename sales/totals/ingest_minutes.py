"""Count accepted and duplicate events by minute, for two days. Rejected events are counted from their own table.

Accepted events are counted in the feedback's journal until a fold moves them into their minute, so they cost no write
of their own. Duplicates have their own small journal, which the same fold empties. A reader takes minutes and journals
from one snapshot.
"""

import datetime
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.db import connection

RETENTION = datetime.timedelta(days=2)
FOLD_LIMIT = 20_000  # entries of the journal of duplicates per fold
REJECTED_LIMIT = 100_000  # rejected events to count at most, because each is read

APPEND_DUPLICATES = "INSERT INTO duplicate_journal (events_count) VALUES (%s) RETURNING id"
# `minutes` and `accepted` are arrays of the same length. Minutes past their retention must not come back. The time is
# the database's, as in the journals, because the clock of the service may be wrong.
FOLD = """
    WITH expired AS (
        DELETE FROM ingest_minute WHERE minute < now() - %(retention)s
    ), moved AS (
        DELETE FROM duplicate_journal WHERE id IN (SELECT id FROM duplicate_journal ORDER BY id LIMIT %(limit)s)
        RETURNING date_trunc('minute', received_at, 'UTC') AS minute, events_count
    ), new AS (
        SELECT minute, accepted, 0 AS duplicate
        FROM unnest(%(minutes)s::timestamptz[], %(accepted)s::bigint[]) AS counted (minute, accepted)
        UNION ALL
        SELECT minute, 0, events_count FROM moved
    )
    INSERT INTO ingest_minute (minute, accepted, duplicate)
    SELECT minute, SUM(accepted), SUM(duplicate) FROM new WHERE minute >= now() - %(retention)s GROUP BY minute
    ON CONFLICT (minute) DO UPDATE SET
        accepted = ingest_minute.accepted + excluded.accepted, duplicate = ingest_minute.duplicate + excluded.duplicate
    """
READ = """
    SELECT accepted, duplicate, 0 AS rejected FROM ingest_minute WHERE minute >= %(since)s
    UNION ALL
    SELECT sales_count, 0, 0 FROM feedback_journal WHERE received_at >= %(since)s
    UNION ALL
    SELECT 0, events_count, 0 FROM duplicate_journal WHERE received_at >= %(since)s
    UNION ALL
    SELECT 0, 0, COUNT(*) FROM (SELECT FROM rejected_events WHERE received_at >= %(since)s LIMIT %(limit)s) AS newest
    """


class IngestCounts(NamedTuple):
    """Numbers of events. Rejected events are counted only if they were stored, up to REJECTED_LIMIT."""

    accepted: int
    duplicate: int
    rejected: int


def current_minute() -> datetime.datetime:
    """Return the start of the current minute by the database's clock, which dates the events."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT date_trunc('minute', now(), 'UTC')")
        minute: datetime.datetime = cursor.fetchone()[0]
    return minute


def counts_since(timestamp: datetime.datetime) -> IngestCounts:
    """Return the counts since the start of the minute that contains `timestamp`, from one snapshot."""
    with connection.cursor() as cursor:
        cursor.execute(READ, {"since": _minute(timestamp), "limit": REJECTED_LIMIT})
        accepted, duplicate, rejected = zip(*cursor.fetchall(), strict=True)
    return IngestCounts(sum(accepted), sum(duplicate), sum(rejected))


def record_duplicates(number: int) -> int:
    """Record the number of duplicates in a batch, in the caller's transaction. Return the journal entry's id."""
    with connection.cursor() as cursor:
        cursor.execute(APPEND_DUPLICATES, [number])
        entry_id: int = cursor.fetchone()[0]
    return entry_id


def fold(accepted: Iterable[tuple[datetime.datetime, int]]) -> None:
    """Add accepted events and the journal's duplicates to their minutes, and delete expired minutes.

    `accepted` has rows of (received at, number of events), which leave the feedback's journal in the same transaction.
    The caller holds the fold lock.
    """
    by_timestamp: Counter[datetime.datetime] = Counter()
    for timestamp, number in accepted:
        by_timestamp[timestamp] += number  # a batch has one timestamp for all of its entries
    by_minute: Counter[datetime.datetime] = Counter()
    for timestamp, number in by_timestamp.items():
        by_minute[_minute(timestamp)] += number
    counted = {"minutes": list(by_minute), "accepted": list(by_minute.values())}
    limits: dict[str, Any] = {"retention": RETENTION, "limit": FOLD_LIMIT}
    with connection.cursor() as cursor:
        cursor.execute(FOLD, limits | counted)


def _minute(timestamp: datetime.datetime) -> datetime.datetime:
    return timestamp.replace(second=0, microsecond=0)
