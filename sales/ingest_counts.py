"""How many events came in lately, minute by minute: accepted, duplicate and rejected.

Nothing is written for an accepted event that is not written anyway: what the feedback's journal holds is counted there,
and a fold, which takes it out, adds it to its minute. A batch notes its duplicates, if it has any, in a journal of its
own, which the same fold empties. Whoever reads takes minutes and journals from one snapshot.
"""

import datetime
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from django.db import connection
from django.utils import timezone

from sales.models import IngestMinute

KEPT_FOR = datetime.timedelta(days=2)
FOLD_AT_MOST = 20_000  # entries of the duplicates' journal in one go
MOST_COUNTED = 100_000  # rejected events: more are not counted, as each is looked at

Moments = Iterable[tuple[datetime.datetime, int]]  # when events were received, and how many

NOTE_DUPLICATES = "INSERT INTO duplicate_journal (events_count) VALUES (%s) RETURNING id"
# Exactly the rows that are read are deleted.
TAKE_DUPLICATES = """
    DELETE FROM duplicate_journal WHERE id IN (SELECT id FROM duplicate_journal ORDER BY id LIMIT %s)
    RETURNING received_at, events_count
    """
ADD_TO_MINUTES = """
    INSERT INTO ingest_minute (minute, accepted, duplicate)
    SELECT minute, accepted, duplicate
    FROM unnest(%s::timestamptz[], %s::bigint[], %s::bigint[]) AS new (minute, accepted, duplicate)
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


def fold(accepted: Moments) -> None:
    """Add to the minutes what a fold takes from the feedback's journal, and the duplicates; forget old minutes.

    In the transaction of that fold, of which there is only one at a time.
    """
    with connection.cursor() as cursor:
        cursor.execute(TAKE_DUPLICATES, [FOLD_AT_MOST])
        add_to_minutes(accepted, cursor.fetchall())
    IngestMinute.objects.filter(minute__lt=timezone.now() - KEPT_FOR).delete()


def add_to_minutes(accepted: Moments, duplicate: Moments = ()) -> None:
    counts = [_by_minute(accepted), _by_minute(duplicate)]
    if minutes := sorted(counts[0] | counts[1]):
        with connection.cursor() as cursor:
            cursor.execute(ADD_TO_MINUTES, [minutes, *([each[minute] for minute in minutes] for each in counts)])


def _by_minute(moments: Moments) -> Counter[datetime.datetime]:
    by_moment: Counter[datetime.datetime] = Counter()
    for moment, number in moments:
        by_moment[moment] += number  # all of a batch have the same
    by_minute: Counter[datetime.datetime] = Counter()
    for moment, number in by_moment.items():
        by_minute[_minute(moment)] += number
    return by_minute


def _minute(moment: datetime.datetime) -> datetime.datetime:
    return moment.replace(second=0, microsecond=0)
