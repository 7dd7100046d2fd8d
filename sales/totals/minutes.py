"""How many events came in lately, minute by minute: accepted, duplicate and rejected.

Nothing is written for an accepted event that is not written anyway: what the feedback's journal holds is counted there,
and a fold, which takes it out, adds it to its minute. A batch notes its duplicates, if it has any, in a journal of its
own, which the same fold empties. Whoever reads takes minutes and journals from one snapshot.
"""

import datetime
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.db import connection
from django.utils import timezone

KEPT_FOR = datetime.timedelta(days=2)
FOLD_AT_MOST = 20_000  # entries of the duplicates' journal in one go
MOST_COUNTED = 100_000  # rejected events: more are not counted, as each is looked at

NOTE_DUPLICATES = "INSERT INTO duplicate_journal (events_count) VALUES (%s) RETURNING id"
# The parameters `minutes` and `accepted` are arrays of the same length; minutes that are forgotten are not added to.
FOLD = """
    WITH forgotten AS (
        DELETE FROM ingest_minute WHERE minute < %(oldest)s
    ), taken AS (
        DELETE FROM duplicate_journal WHERE id IN (SELECT id FROM duplicate_journal ORDER BY id LIMIT %(most)s)
        RETURNING date_trunc('minute', received_at, 'UTC') AS minute, events_count
    ), new AS (
        SELECT minute, accepted, 0 AS duplicate
        FROM unnest(%(minutes)s::timestamptz[], %(accepted)s::bigint[]) AS counted (minute, accepted)
        UNION ALL
        SELECT minute, 0, events_count FROM taken
    )
    INSERT INTO ingest_minute (minute, accepted, duplicate)
    SELECT minute, SUM(accepted), SUM(duplicate) FROM new WHERE minute >= %(oldest)s GROUP BY minute
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
    SELECT 0, 0, COUNT(*) FROM (SELECT FROM rejected_events WHERE received_at >= %(since)s LIMIT %(most)s) AS newest
    """


class IngestCounts(NamedTuple):
    """Events that came in since a moment; of the rejected those that were kept, up to MOST_COUNTED."""

    accepted: int
    duplicate: int
    rejected: int


def counts_since(moment: datetime.datetime) -> IngestCounts:
    """What came in from the beginning of that minute on, from one snapshot."""
    with connection.cursor() as cursor:
        cursor.execute(READ, {"since": _minute(moment), "most": MOST_COUNTED})
        accepted, duplicate, rejected = zip(*cursor.fetchall(), strict=True)
    return IngestCounts(sum(accepted), sum(duplicate), sum(rejected))


def note_duplicates(number: int) -> int:
    """Note that so many events of a batch were duplicates, in the caller's transaction; the id of the entry."""
    with connection.cursor() as cursor:
        cursor.execute(NOTE_DUPLICATES, [number])
        entry_id: int = cursor.fetchone()[0]
    return entry_id


def fold(accepted: Iterable[tuple[datetime.datetime, int]]) -> None:
    """Add to the minutes what was accepted when, and the duplicates of the journal; forget old minutes.

    `accepted` is what leaves the feedback's journal in the same transaction, of which there is only one at a time.
    """
    by_moment: Counter[datetime.datetime] = Counter()
    for moment, number in accepted:
        by_moment[moment] += number  # all of a batch have the same
    by_minute: Counter[datetime.datetime] = Counter()
    for moment, number in by_moment.items():
        by_minute[_minute(moment)] += number
    counted = {"minutes": list(by_minute), "accepted": list(by_minute.values())}
    limits: dict[str, Any] = {"oldest": timezone.now() - KEPT_FOR, "most": FOLD_AT_MOST}
    with connection.cursor() as cursor:
        cursor.execute(FOLD, limits | counted)


def _minute(moment: datetime.datetime) -> datetime.datetime:
    return moment.replace(second=0, microsecond=0)
