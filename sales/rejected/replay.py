"""Rejected events sent again, mended or not: each is stored once, however often and by however many it is asked for."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from django.db import connection, transaction
from psycopg.types.json import Jsonb

from sales.ingest.batches import parse_each
from sales.ingest.fields import SaleEvent
from sales.ingest.rejection import short_reason, storable_errors
from sales.ingest.schema import EventError, validate_event
from sales.ingest.service import CONFLICT
from sales.ingest.writer import record_sales
from sales.models import RejectedEvent

AT_ONCE = 1_000  # events in one transaction: few enough to lose little when it breaks off, enough to be quick
IN_MEMORY = 50  # of them that are in memory as they came, since each may have the size of a whole request
MENDED = "mended"  # in place of the reason of events in which no mistake is left


@dataclass
class ReplayResult:
    """How many of the events asked for came to what."""

    stored: int = 0
    duplicates: int = 0  # stored before, by their EVENT_ID
    wrong: int = 0
    gone: int = 0  # replayed before, or purged


@dataclass
class _Work:
    """What the rows of one transaction hold."""

    events: dict[str, dict[int, SaleEvent]] = field(default_factory=dict)  # sender -> id of the row -> event
    wrong: dict[int, Sequence[EventError]] = field(default_factory=dict)
    seen: int = 0


def replay(ids: Iterable[int], user: str) -> ReplayResult:
    """Store rejected events as sales of their original senders, oldest first; what is still wrong keeps waiting.

    `ids` are those of the rows. AT_ONCE of them share a transaction: when one breaks off, those before it are done and
    say so, and it and those after it wait as before. Within a transaction of the caller's, all are part of it.
    Raises django.db.Error when the database refuses or is away.
    """
    outcome: Counter[str] = Counter()
    ordered = sorted(set(ids))
    for start in range(0, len(ordered), AT_ONCE):
        outcome.update(_replay_some(ordered[start : start + AT_ONCE], user))
    return ReplayResult(**outcome)


def find_mistakes(text: bytes, sender: str) -> Sequence[EventError]:
    """What would be wrong with the event if it were replayed now, a conflict with a sale of its EVENT_ID included."""
    [value] = parse_each([text])
    event = validate_event(value)
    if isinstance(event, list):
        return event
    with transaction.atomic():
        recorded = record_sales([event], sender, dry_run=True)
        transaction.set_rollback(True)
    return [CONFLICT] if recorded.conflicts else []


def mend(pk: int, text: str) -> bool:
    """Keep what staff made of an event, right or not, for the next replay; False when it has been replayed already."""
    with transaction.atomic():
        row = RejectedEvent.objects.select_for_update().filter(pk=pk, replayed_at=None).first()
        if row is None:
            return False
        mistakes = find_mistakes(text.encode(), row.sender)
        row.mended = text
        row.reason = short_reason(mistakes) if mistakes else MENDED
        row.errors = storable_errors(mistakes)
        row.save(update_fields=("mended", "reason", "errors"))
    return True


def _replay_some(ids: Sequence[int], user: str) -> Mapping[str, int]:
    with transaction.atomic():
        work = _lock(ids)
        sales: dict[int, int] = {}
        duplicates = 0
        # One order for all, so that no two transactions wait for each other's EVENT_IDs.
        for sender, events in sorted(work.events.items()):
            recorded = record_sales(list(events.values()), sender)
            duplicates += len(recorded.duplicates)
            for place, pk in enumerate(events):
                if place in recorded.conflicts:
                    work.wrong[pk] = [CONFLICT]
                else:
                    sales[pk] = recorded.ids[place]
        _settle(sales, user)
        _note_mistakes(work.wrong)
    gone = len(ids) - work.seen
    return {"stored": len(sales) - duplicates, "duplicates": duplicates, "wrong": len(work.wrong), "gone": gone}


def _lock(ids: Sequence[int]) -> _Work:
    """The events that still wait, which nobody else can replay before the transaction ends.

    Whoever comes second waits here, and then no longer finds them: PostgreSQL looks at a row it had to wait for again.
    """
    waiting = RejectedEvent.objects.select_for_update().filter(pk__in=ids, replayed_at=None).order_by("pk")
    work = _Work()
    for pk, sender, content, mended in waiting.values_list("pk", "sender", "content", "mended").iterator(IN_MEMORY):
        [value] = parse_each([bytes(content) if mended is None else mended.encode()])
        event = validate_event(value)
        if isinstance(event, list):
            work.wrong[pk] = event
        else:
            work.events.setdefault(sender, {})[pk] = event
        work.seen += 1
    return work


def _settle(sales: Mapping[int, int], user: str) -> None:
    """Note the sales (row -> sale) of events that are stored."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE rejected_events SET replayed_at = now(), replayed_by = %s, sale_id = settled.sale_id
            FROM unnest(%s::bigint[], %s::bigint[]) AS settled (id, sale_id) WHERE rejected_events.id = settled.id
            """,
            [user, list(sales), list(sales.values())],
        )


def _note_mistakes(wrong: Mapping[int, Sequence[EventError]]) -> None:
    """Keep what is wrong now, where that is not what was wrong before."""
    reasons = [short_reason(those) for those in wrong.values()]
    errors = [Jsonb(storable_errors(those)) for those in wrong.values()]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE rejected_events SET reason = found.reason, errors = found.errors
            FROM unnest(%s::bigint[], %s::text[], %s::jsonb[]) AS found (id, reason, errors)
            WHERE rejected_events.id = found.id AND rejected_events.errors <> found.errors
            """,
            [list(wrong), reasons, errors],
        )
