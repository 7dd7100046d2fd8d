"""Find out what a write would do, without storing anything and without claims that other clients would wait for."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

from django.db import Error, connection

from sales.ingest.fields import SaleEvent
from sales.ingest.writer import WriteResult, content_digest

STORED = "SELECT event_id, digest FROM event_ids WHERE sender = %(sender)s AND event_id = ANY(%(event_ids)s)"
REMEMBERED = "SELECT event_id, digest FROM remembered_events WHERE event_id = ANY(%(event_ids)s)"


@contextmanager
def remembering() -> Iterator[None]:
    """Let dry runs with `remember` find duplicates of each other's events, such as those of one file.

    They are kept in a temporary table, because a file may have more events than fit into memory.
    """
    with connection.cursor() as cursor:
        cursor.execute('CREATE TEMPORARY TABLE remembered_events (event_id text COLLATE "C" PRIMARY KEY, digest bytea)')
    try:
        yield
    finally:
        with suppress(Error), connection.cursor() as cursor:  # a lost connection has dropped the table
            cursor.execute("DROP TABLE remembered_events")


def check_sales(events: Sequence[SaleEvent], sender: str, *, remember: bool = False) -> WriteResult:
    """Return what `record_sales` would return now, but 0 for each id. `remember` requires `remembering`."""
    event_ids = {event_id for event in events if (event_id := event.get("EVENT_ID"))}
    known = _find(event_ids, sender, remember=remember) if event_ids else {}
    new: dict[str, bytes] = {}
    duplicates: set[int] = set()
    conflicts: set[int] = set()
    for index, event in enumerate(events):
        if not (event_id := event.get("EVENT_ID")):
            continue
        digest = content_digest(event)
        if event_id not in known:
            known[event_id] = new[event_id] = digest
        else:
            (duplicates if known[event_id] == digest else conflicts).add(index)
    if remember and new:
        with connection.cursor() as cursor:
            statement = "INSERT INTO remembered_events SELECT * FROM unnest(%s::text[], %s::bytea[])"
            cursor.execute(statement, [list(new), list(new.values())])
    return WriteResult([0] * len(events), frozenset(duplicates), frozenset(conflicts))


def _find(event_ids: Collection[str], sender: str, *, remember: bool) -> dict[str, bytes]:
    """Return the digests of the events that have one of these EVENT_IDs."""
    with connection.cursor() as cursor:
        statement = f"{STORED} UNION ALL {REMEMBERED}" if remember else STORED
        cursor.execute(statement, {"sender": sender, "event_ids": list(event_ids)})
        return {event_id: bytes(digest) for event_id, digest in cursor}
