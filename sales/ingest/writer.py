"""What is done: the one writer of sales."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db import connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from sales.ingest.schema import SaleEvent
from sales.totals import country_folding, feedback_folding, ingest_minutes
from sales.totals.figures import EXACT, add_up
from salesengine.http.renderers import encode_json

# The fields of an event, which are the columns of `sales` too, and their types in PostgreSQL.
COLUMNS = {
    "ID_ORDER": "text",
    "ID_PRODUCT": "text",
    "ID_BUYER": "text",
    "ID_SELLER": "text",
    "ID_SELLER_COUNTRY": "text",
    "ID_BUYER_COUNTRY": "text",
    "DATE_PAYMENT": "timestamptz",
    "BRAND": "text",
    "CATEGORY": "text",
    "REVENUE": "numeric",
    "EVENT_ID": "text",
}
NAMES = ", ".join(COLUMNS)  # not in quotes, so in lower case for PostgreSQL
QUOTED_NAMES = ", ".join(f'"{name}"' for name in COLUMNS)
TYPED_NAMES = ", ".join(f'"{name}" {kind}' for name, kind in COLUMNS.items())
# Sales and their journal entries, as JSON, in one round trip. New ids are drawn in the order of the sales.
STORE_FEW = f"""
    WITH new AS MATERIALIZED (
        SELECT coalesce("ID", nextval('sales_id_seq')) AS id, {QUOTED_NAMES}
        FROM json_to_recordset(%s) AS sent ("ID" bigint, {TYPED_NAMES})
    ), stored AS (
        INSERT INTO sales (id, {NAMES}) SELECT id, {QUOTED_NAMES} FROM new
    ), noted AS (
        {feedback_folding.APPEND_TO_JOURNAL}
    ), noted_by_country AS (
        {country_folding.APPEND_TO_JOURNAL} {country_folding.SELECT_SALE_IDS} FROM new
    )
    SELECT array(SELECT id FROM new ORDER BY id), array(SELECT id FROM noted)
    """  # noqa: S608  # names only
SINGLES = "singles"  # the database alias that plain single events are written on
FEW = 200  # sales; for more, COPY is faster
COPY_SALES = f"COPY sales (id, {NAMES}) FROM STDIN (FORMAT BINARY)"


@dataclass(frozen=True)
class WriteResult:
    """What became of events, in their order."""

    ids: Sequence[int]  # of their sales: for a duplicate that of the first one, 0 for a conflict
    duplicates: frozenset[int] = frozenset()  # places of events seen before, with the same contents
    conflicts: frozenset[int] = frozenset()  # places of events whose EVENT_ID was seen before, with other contents

    @property
    def accepted(self) -> int:
        """How many are stored by this, and were not before."""
        return len(self.ids) - len(self.duplicates) - len(self.conflicts)


def record_sales(events: Sequence[SaleEvent], sender: str = "", *, dry_run: bool = False) -> WriteResult:
    """Store validated events, and what they add to the feedback, all or nothing, but for duplicates and conflicts.

    An EVENT_ID is stored once for each `sender`. When this returns, outside of a transaction of the caller's, the sales
    are committed. A rehearsal finds duplicates and conflicts and stores no sale; the caller must roll it back.
    Raises django.db.Error when the database refuses or is away; then nothing is stored.
    """
    if not any(event.get("EVENT_ID") for event in events):
        return WriteResult(_store(events) if events and not dry_run else [0] * len(events))
    with transaction.atomic():
        ids, known = _claim_event_ids(events, sender)
        new = [place for place in range(len(events)) if place not in known]
        if new and not dry_run:
            _store([events[place] for place in new], [ids[place] for place in new])
        conflicts = frozenset(place for place, known_id in known.items() if not known_id)
        duplicates = frozenset(known) - conflicts
        if duplicates:
            _note_duplicates(len(duplicates))
    return WriteResult([known.get(place, new_id) for place, new_id in enumerate(ids)], duplicates, conflicts)


def record_plain_sales(events: Sequence[SaleEvent]) -> Sequence[int]:
    """The same for a few events without EVENT_ID, on the connection that is kept for them; the ids of the sales."""
    try:
        return _store(events, using=SINGLES)
    finally:
        if not transaction.get_connection(SINGLES).in_atomic_block:
            connections[SINGLES].close()  # back to its pool for the next group, not only when this request ends


# EVENT_ID


def _claim_event_ids(events: Sequence[SaleEvent], sender: str) -> tuple[list[int], dict[int, int]]:
    """Ids for the sales, and the places of events seen before: with the id of their sale, or 0 for other contents.

    Waits for other transactions that claim the same; all claim in the order of the ids, so none waits for each other.
    """
    with connection.cursor() as cursor:
        ids = _draw_ids(cursor, len(events))
        claims: dict[str, tuple[int, bytes]] = {}
        for new_id, event in zip(ids, events, strict=True):
            if event_id := event.get("EVENT_ID"):
                claims.setdefault(event_id, (new_id, contents_digest(event)))
        kept = _keep_claims(cursor, sender, claims)
    known = {}
    for place, (new_id, event) in enumerate(zip(ids, events, strict=True)):
        event_id = event.get("EVENT_ID")
        if event_id and kept[event_id][0] != new_id:
            first_id, digest = kept[event_id]
            known[place] = first_id if digest == contents_digest(event) else 0
    return ids, known


def _keep_claims(
    cursor: CursorWrapper, sender: str, claims: Mapping[str, tuple[int, bytes]]
) -> dict[str, tuple[int, bytes]]:
    """Store the claims (event id -> sale id and digest) that are new; what is now stored for every one of them."""
    event_ids = sorted(claims)
    cursor.execute(
        """
        INSERT INTO event_ids (event_id, sender, sale_id, digest)
        SELECT event_id, %s, sale_id, digest FROM unnest(%s::text[], %s::bigint[], %s::bytea[])
            WITH ORDINALITY AS claim (event_id, sale_id, digest, place)
        ORDER BY place
        ON CONFLICT DO NOTHING
        """,
        [sender, event_ids, *([claims[event_id][part] for event_id in event_ids] for part in (0, 1))],
    )
    if cursor.rowcount == len(event_ids):
        return dict(claims)
    # A new statement, so a new snapshot: it sees what the one before had to wait for.
    cursor.execute(
        "SELECT event_id, sale_id, digest FROM event_ids WHERE sender = %s AND event_id = ANY(%s)", [sender, event_ids]
    )
    return {event_id: (sale_id, bytes(digest)) for event_id, sale_id, digest in cursor}


def _note_duplicates(number: int) -> None:
    entry_id = ingest_minutes.record_duplicates(number)
    # What is sent again and again would fill its journal, if only new sales brought a fold.
    transaction.on_commit(lambda: feedback_folding.fold_if_due([entry_id]), robust=True)


def contents_digest(event: SaleEvent) -> bytes:
    """The same for events of the same contents, however they were written: 1.50 and 1.5, +01:00 and Z."""
    revenue = EXACT.normalize(EXACT.add(event["REVENUE"], Decimal(0)))  # + 0: no -0
    contents = {**event, "REVENUE": revenue, "EVENT_ID": None}
    text = "\0".join(str(contents.get(name) or "") for name in COLUMNS)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


# Writing


def _store(events: Sequence[SaleEvent], ids: Sequence[int] | None = None, using: str = "default") -> Sequence[int]:
    """Write sales and what both journals note of them in one transaction; the ids of the sales, drawn unless given."""
    figures = add_up(((event.get("CATEGORY"), event["DATE_PAYMENT"].date()), 1, event["REVENUE"]) for event in events)
    entries = feedback_folding.journal_entries(figures)
    if len(events) <= FEW:
        new_ids, entry_ids = _store_few(events, ids, entries, connections[using])
    else:
        new_ids, entry_ids = _store_many(events, ids, entries)
    # Committed is committed, whatever becomes of the folds: robust logs a failure of one and goes on.
    transaction.on_commit(lambda: feedback_folding.fold_if_due(entry_ids), robust=True)
    transaction.on_commit(lambda: country_folding.fold_if_due(new_ids), robust=True)
    return new_ids


def _store_few(
    events: Sequence[SaleEvent], ids: Sequence[int] | None, entries: str, connection: BaseDatabaseWrapper
) -> tuple[Sequence[int], Sequence[int]]:
    """Write all in one statement; the ids of sales and entries. JSON costs half of what arrays do, on both sides."""
    rows = events if ids is None else [{"ID": new_id, **event} for new_id, event in zip(ids, events, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(STORE_FEW, [encode_json(rows).decode(), entries])
        new_ids, entry_ids = cursor.fetchone()
    return new_ids, entry_ids


def _store_many(
    events: Sequence[SaleEvent], ids: Sequence[int] | None, entries: str
) -> tuple[Sequence[int], Sequence[int]]:
    """The same with COPY, the fastest way in for many (PostgreSQL manual, "Populating a Database")."""
    with transaction.atomic(), connection.cursor() as cursor:
        new_ids = ids or _draw_ids(cursor, len(events))
        with cursor.copy(COPY_SALES) as copy:
            copy.set_types(["bigint", *COLUMNS.values()])
            for new_id, event in zip(new_ids, events, strict=True):
                copy.write_row((new_id, *map(event.get, COLUMNS)))
        ranges = country_folding.id_ranges(new_ids)
        cursor.execute(f"{country_folding.APPEND_TO_JOURNAL} VALUES (%s, %s)", [ranges, len(new_ids)])
        cursor.execute(feedback_folding.APPEND_TO_JOURNAL, [entries])
        return new_ids, [entry_id for (entry_id,) in cursor]


def _draw_ids(cursor: CursorWrapper, number: int) -> list[int]:
    cursor.execute("SELECT array(SELECT nextval('sales_id_seq') FROM generate_series(1, %s))", [number])
    ids: list[int] = cursor.fetchone()[0]
    return ids
