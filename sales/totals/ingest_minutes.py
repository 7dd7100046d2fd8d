"""Count accepted, duplicate and rejected events by minute, for two days.

The counts of a write are in its ledger entry until a fold adds them to their minute. A reader takes minutes and
unfolded entries from one snapshot. Rejected events count only if they were stored.
"""

import datetime
from collections import defaultdict
from collections.abc import Iterable
from operator import attrgetter
from typing import Any, NamedTuple

from django.db import connection

from sales.totals.ledger import DueEntry

RETENTION = datetime.timedelta(days=2)

# The parameters are arrays of the same length. Minutes past their retention must not come back. The time is the
# database's, as in the ledger, because the clock of the service may be wrong.
FOLD = """
    WITH expired AS (
        DELETE FROM ingest_minute WHERE minute < now() - %(retention)s
    )
    INSERT INTO ingest_minute AS known (minute, accepted, duplicate, rejected)
    SELECT minute, accepted, duplicate, rejected
    FROM unnest(%(minutes)s::timestamptz[], %(accepted)s::bigint[], %(duplicate)s::bigint[], %(rejected)s::bigint[])
        AS new (minute, accepted, duplicate, rejected)
    WHERE minute >= now() - %(retention)s
    ON CONFLICT (minute) DO UPDATE SET
        accepted = known.accepted + excluded.accepted,
        duplicate = known.duplicate + excluded.duplicate,
        rejected = known.rejected + excluded.rejected
    """
READ = """
    SELECT accepted, duplicate, rejected FROM ingest_minute WHERE minute >= %(since)s
    UNION ALL
    SELECT accepted, duplicate, rejected FROM ledger WHERE position IS NULL AND received_at >= %(since)s
    """


class IngestCounts(NamedTuple):
    """Numbers of events."""

    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0


def current_minute() -> datetime.datetime:
    """Return the start of the current minute by the database's clock, which dates the events."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT date_trunc('minute', now(), 'UTC')")
        minute: datetime.datetime = cursor.fetchone()[0]
    return minute


def counts_since(timestamp: datetime.datetime) -> IngestCounts:
    """Return the counts since the start of the minute that contains `timestamp`, from one snapshot."""
    with connection.cursor() as cursor:
        cursor.execute(READ, {"since": _minute(timestamp)})
        return IngestCounts(*map(sum, zip(*cursor.fetchall(), strict=True)))


def fold(entries: Iterable[DueEntry]) -> None:
    """Add the counts of entries to their minutes, and delete expired minutes. The caller holds the fold lock."""
    minutes: defaultdict[datetime.datetime, list[DueEntry]] = defaultdict(list)
    for entry in entries:
        minutes[_minute(entry.received_at)].append(entry)
    parameters: dict[str, Any] = {
        name: [sum(map(attrgetter(name), group)) for group in minutes.values()] for name in IngestCounts._fields
    }
    with connection.cursor() as cursor:
        cursor.execute(FOLD, parameters | {"retention": RETENTION, "minutes": list(minutes)})


def _minute(timestamp: datetime.datetime) -> datetime.datetime:
    return timestamp.replace(second=0, microsecond=0)
