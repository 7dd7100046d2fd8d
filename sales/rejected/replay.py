"""Edit rejected events and replay them. Each event is stored once, however often and by however many users."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from django.db import connection, transaction
from psycopg.types.json import Jsonb

from sales.ingest.batches import parse_each
from sales.ingest.dry_run import check_sales
from sales.ingest.fields import SaleEvent
from sales.ingest.rejection import short_reason, storable_errors
from sales.ingest.schema import EventError, validate_event
from sales.ingest.service import CONFLICT
from sales.ingest.writer import record_sales
from sales.models import RejectedEvent
from sales.totals.ledger import Origin
from salesengine.database import retry_deadlocks
from salesengine.operations.metrics import count_events

BATCH_SIZE = 1_000  # events in one transaction: a failure undoes few, and many share the cost of a commit
FETCH_SIZE = 50  # events in memory at once, because each may be as large as a request
REPLAY = "replay by "  # the beginning of the source of replayed sales
EDITED = "mended"  # the stored reason of an edited event that has no errors


@dataclass
class ReplayResult:
    """The number of replayed events by outcome."""

    stored: int = 0
    duplicates: int = 0  # their EVENT_ID was stored earlier
    invalid: int = 0
    gone: int = 0  # replayed earlier, or deleted


def replay(ids: Iterable[int], user: str) -> ReplayResult:
    """Store rejected events as sales of their original senders, oldest first. Invalid events stay rejected.

    `ids` are row ids. Each BATCH_SIZE of them share a transaction; if one fails, the earlier ones stay committed.
    Inside a transaction of the caller, they are all part of that transaction.
    Raises django.db.Error when the database fails or is unavailable.
    """
    outcomes: Counter[str] = Counter()
    ordered = sorted(set(ids))
    for start in range(0, len(ordered), BATCH_SIZE):
        batch = _replay_batch(ordered[start : start + BATCH_SIZE], user)
        counts = {"accepted": batch["stored"], "duplicate": batch["duplicates"], "rejected": batch["invalid"]}
        transaction.on_commit(partial(count_events, "replay", **counts), robust=True)
        outcomes.update(batch)
    return ReplayResult(**outcomes)


def find_errors(text: bytes, sender: str) -> Sequence[EventError]:
    """Return the errors that a replay of this text would find, including a conflict with an EVENT_ID already stored."""
    [value] = parse_each([text])
    event = validate_event(value)
    if isinstance(event, list):
        return event
    return [CONFLICT] if check_sales([event], sender).conflicts else []


def save_edit(pk: int, text: str) -> bool:
    """Save the edited text of an event, valid or not, for the next replay. Return False if it was replayed already."""
    with transaction.atomic():
        row = RejectedEvent.objects.select_for_update().filter(pk=pk, replayed_at=None).first()
        if row is None:
            return False
        errors = find_errors(text.encode(), row.sender)
        row.edited = text
        row.reason = short_reason(errors) if errors else EDITED
        row.errors = storable_errors(errors)
        row.save(update_fields=("edited", "reason", "errors"))
    return True


def count_waiting(limit: int) -> int:
    """Return the number of rejected events that are not replayed, up to `limit`."""
    return RejectedEvent.objects.filter(replayed_at=None)[:limit].count()


@retry_deadlocks
def _replay_batch(ids: Sequence[int], user: str) -> Mapping[str, int]:
    with transaction.atomic():
        valid, errors = _lock_waiting(ids)
        sale_ids: dict[int, int] = {}
        duplicates = 0
        # All transactions process the senders in the same order, so that their claims on EVENT_IDs cannot deadlock.
        for sender, events in sorted(valid.items()):
            recorded = record_sales(list(events.values()), Origin(sender, f"{REPLAY}{user}"))
            duplicates += len(recorded.duplicates)
            for index, pk in enumerate(events):
                if index in recorded.conflicts:
                    errors[pk] = [CONFLICT]
                else:
                    sale_ids[pk] = recorded.ids[index]
        _mark_replayed(sale_ids, user)
        _update_errors(errors)
    return {
        "stored": len(sale_ids) - duplicates,
        "duplicates": duplicates,
        "invalid": len(errors),
        "gone": len(ids) - len(sale_ids) - len(errors),
    }


def _lock_waiting(ids: Sequence[int]) -> tuple[dict[str, dict[int, SaleEvent]], dict[int, Sequence[EventError]]]:
    """Lock the events that nobody has replayed yet. Return the valid ones, by sender and row id, and the errors of the
    others, by row id.

    A second replay of the same events waits here and then finds none, because PostgreSQL checks the condition again on
    rows that it had to wait for.
    """
    waiting = RejectedEvent.objects.select_for_update().filter(pk__in=ids, replayed_at=None).order_by("pk")
    valid: dict[str, dict[int, SaleEvent]] = {}
    errors: dict[int, Sequence[EventError]] = {}
    for pk, sender, content, edited in waiting.values_list("pk", "sender", "content", "edited").iterator(FETCH_SIZE):
        [value] = parse_each([bytes(content) if edited is None else edited.encode()])
        event = validate_event(value)
        if isinstance(event, list):
            errors[pk] = event
        else:
            valid.setdefault(sender, {})[pk] = event
    return valid, errors


def _mark_replayed(sale_ids: Mapping[int, int], user: str) -> None:
    """Save the sale of each stored event, given as row id -> sale id."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE rejected_events SET replayed_at = now(), replayed_by = %s, sale_id = stored.sale_id
            FROM unnest(%s::bigint[], %s::bigint[]) AS stored (id, sale_id) WHERE rejected_events.id = stored.id
            """,
            [user, list(sale_ids), list(sale_ids.values())],
        )


def _update_errors(errors: Mapping[int, Sequence[EventError]]) -> None:
    """Save the errors of invalid events where they have changed."""
    reasons = [short_reason(event_errors) for event_errors in errors.values()]
    stored_errors = [Jsonb(storable_errors(event_errors)) for event_errors in errors.values()]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE rejected_events SET reason = found.reason, errors = found.errors
            FROM unnest(%s::bigint[], %s::text[], %s::jsonb[]) AS found (id, reason, errors)
            WHERE rejected_events.id = found.id AND rejected_events.errors <> found.errors
            """,
            [list(errors), reasons, stored_errors],
        )
