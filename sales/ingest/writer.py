"""Write new sales to the database, from every source.

Only `sales.archiving.restoring` also inserts sales: it brings archived ones back.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

from django.db import connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from msgspec import structs

from sales.ingest.claim_rows import ClaimRows, ClaimRowsDumper
from sales.ingest.copy_rows import copy_blocks
from sales.ingest.fields import FIELDS, SaleEvent
from sales.totals import ledger
from sales.totals.figures import EXACT, NO_REVENUE, CategoryDay
from sales.totals.folding import fold_if_due
from sales.totals.ledger import NO_ORIGIN, NewEntry, Origin, Tally
from salesengine.database import PreparedStatement, committing
from salesengine.distribution import FEW_CONNECTIONS, is_distributed
from salesengine.exact_json import encode_json
from salesengine.operations.metrics import COMMIT_EVENTS, count_events

COLUMN_TYPES = {name: field.column_type for name, field in FIELDS.items()}
COLUMNS = ", ".join(FIELDS)  # unquoted, so PostgreSQL reads them in lower case
QUOTED_NAMES = ", ".join(f'"{name}"' for name in FIELDS)
TYPED_NAMES = ", ".join(f'"{name}" {column_type}' for name, column_type in COLUMN_TYPES.items())
# The ids of the sales of one entry, at most a few hundred. Without "ENTRY", all belong to the entry with number 0. An
# array takes a third less time than range_agg.
SALE_IDS = """
    int8multirange(VARIADIC array(SELECT int8range(id, id, '[]') FROM new WHERE coalesce("ENTRY", 0) = entry.number))
    """
# Stores sales and their ledger entries from JSON in one round trip. New ids are drawn in the order of the sales. Each
# row of the result has the id of an entry and the ids of all sales.
STORE_FEW = PreparedStatement(
    "store_few",
    "json, json",
    f"""
    WITH new AS MATERIALIZED (
        SELECT coalesce("ID", nextval('sales_id_seq')) AS id, "ENTRY", {QUOTED_NAMES}
        FROM json_to_recordset($1) AS sent ("ID" bigint, "ENTRY" bigint, {TYPED_NAMES})
    ), stored AS (
        INSERT INTO sales (id, {COLUMNS}) SELECT id, {QUOTED_NAMES} FROM new
    )
    {ledger.APPEND.format(sale_ids=SALE_IDS, entries="$2")}, array(SELECT id FROM new ORDER BY id)
    """,  # noqa: S608  # names only
)
SINGLES = "singles"  # the database alias for single events without EVENT_ID
# VALUES: a cluster sends each row to its node. INSERT ... SELECT would wait for all others on the cluster.
STORE_CLAIMS = """
    INSERT INTO event_ids (event_id, sender, sale_id, digest) VALUES %s ON CONFLICT DO NOTHING RETURNING 1
    """
CLAIMS_PER_STATEMENT = 1_000  # so that PostgreSQL parses a few hundred kilobytes at a time
COPY_THRESHOLD = 200  # above this number of sales, COPY is faster than JSON
COPY_SALES = f"COPY sales (id, {COLUMNS}) FROM STDIN"
# The digests of stored events cover these fields. Later fields count only when they have a value.
ALWAYS_IN_DIGEST = list(FIELDS).index("EVENT_ID") + 1


@dataclass(frozen=True)
class WriteResult:
    """What happened to each event of a write, in the order of the events."""

    ids: Sequence[int]  # of the sales: for a duplicate, of the sale stored before; for a conflict, 0
    duplicates: frozenset[int] = frozenset()  # indexes of events that are stored already, with the same content
    conflicts: frozenset[int] = frozenset()  # indexes of events whose EVENT_ID is stored already, with other content

    @property
    def accepted(self) -> int:
        """Return the number of events that this write stored."""
        return len(self.ids) - len(self.duplicates) - len(self.conflicts)


PlainSale = tuple[SaleEvent, Origin]  # a validated event without EVENT_ID


def record_sales(events: Sequence[SaleEvent], origin: Origin = NO_ORIGIN, rejected: int | None = None) -> WriteResult:
    """Store validated events and append an entry to the ledger, in one transaction.

    Skips duplicates and conflicts; an EVENT_ID is stored once per sender. `rejected` is the number of events that the
    caller stores as rejected in the same transaction, apart from conflicts; None says that conflicts are not stored.

    Unless the caller has a transaction open, the sales are committed when this returns. Raises django.db.Error when
    the database refuses the sales or cannot be reached. Then nothing is stored, unless the cause of the error is
    UnansweredCommit.
    """
    entry = NewEntry(origin.sender, [origin.source], rejected=rejected or 0)
    if not any(event.get("EVENT_ID") for event in events):
        return WriteResult(_store(events, entry))
    with transaction.atomic():
        ids, known = _claim_event_ids(events, origin.sender)
        new = [index for index in range(len(events)) if index not in known]
        conflicts = frozenset(index for index, known_id in known.items() if not known_id)
        duplicates = frozenset(known) - conflicts
        if rejected is not None:
            entry = structs.replace(entry, rejected=rejected + len(conflicts))
        entry = structs.replace(entry, duplicate=len(duplicates))
        _store([events[index] for index in new], entry, [ids[index] for index in new])
    return WriteResult([known.get(index, new_id) for index, new_id in enumerate(ids)], duplicates, conflicts)


def record_plain_sales(sales: Sequence[PlainSale]) -> Sequence[int]:
    """Store a few events without EVENT_ID, at most COPY_THRESHOLD, and return the ids of their sales.

    Appends an entry for each sender. Uses a connection of its own, so the sales are committed when this returns, even
    inside a transaction of the caller.
    """
    by_sender: dict[str, list[PlainSale]] = {}
    for event, origin in sales:
        by_sender.setdefault(origin.sender, []).append((event, origin))
    numbers = {sender: number for number, sender in enumerate(by_sender)}
    entries = [
        _with_sales(NewEntry(sender, [origin.source for _, origin in group], number=number), [e for e, _ in group])
        for number, (sender, group) in enumerate(by_sender.items())
    ]
    events, entry_numbers = [event for event, _ in sales], [numbers[origin.sender] for _, origin in sales]
    try:
        ids = _write(events, entries, connections[SINGLES], entry_numbers=entry_numbers)
        COMMIT_EVENTS.observe(len(sales))
        count_events("single", accepted=len(sales))
        return ids
    finally:
        connections[SINGLES].close()  # return it to the pool now, for the next group, not at the end of the request


# EVENT_ID


def _claim_event_ids(events: Sequence[SaleEvent], sender: str) -> tuple[list[int], dict[int, int]]:
    """Return new ids for the sales, and the events stored before: index -> id of the sale, or 0 for a conflict.

    Waits for other transactions that claim the same EVENT_IDs. All transactions claim them in the same order, so that
    no two wait for each other.
    """
    with connection.cursor() as cursor:
        ids = _draw_ids(cursor, len(events))
        claims: dict[str, tuple[int, bytes]] = {}
        for new_id, event in zip(ids, events, strict=True):
            if event_id := event.get("EVENT_ID"):
                claims.setdefault(event_id, (new_id, content_digest(event)))
        stored = _store_claims(cursor, sender, claims)
    known = {}
    for index, (new_id, event) in enumerate(zip(ids, events, strict=True)):
        event_id = event.get("EVENT_ID")
        if event_id and stored[event_id][0] != new_id:
            first_id, digest = stored[event_id]
            known[index] = first_id if digest == content_digest(event) else 0
    return ids, known


def _store_claims(
    cursor: CursorWrapper, sender: str, claims: Mapping[str, tuple[int, bytes]]
) -> dict[str, tuple[int, bytes]]:
    """Store the new claims (EVENT_ID -> sale id and digest), and return what is now stored for each EVENT_ID."""
    event_ids = sorted(claims)
    cursor.adapters.register_dumper(ClaimRows, ClaimRowsDumper)
    new = 0
    for start in range(0, len(event_ids), CLAIMS_PER_STATEMENT):
        some = event_ids[start : start + CLAIMS_PER_STATEMENT]
        cursor.execute(STORE_CLAIMS, [ClaimRows(sender, [(event_id, *claims[event_id]) for event_id in some])])
        new += len(cursor.fetchall())  # not `rowcount`, in which a cluster counts the rows that it skips too
    if new == len(event_ids):
        return dict(claims)
    # A new statement has a new snapshot, which includes what the first statement waited for.
    cursor.execute(
        "SELECT event_id, sale_id, digest FROM event_ids WHERE sender = %s AND event_id = ANY(%s)", [sender, event_ids]
    )
    return {event_id: (sale_id, bytes(digest)) for event_id, sale_id, digest in cursor}


def content_digest(event: SaleEvent) -> bytes:
    """Return the same digest for events with the same content, however it was written: 1.50 and 1.5, +01:00 and Z."""
    revenue = EXACT.normalize(EXACT.add(event["REVENUE"], Decimal(0)))  # + 0 turns -0 into 0
    content = {**event, "REVENUE": revenue, "EVENT_ID": None}
    values = [str(content.get(name) or "") for name in FIELDS]
    while len(values) > ALWAYS_IN_DIGEST and not values[-1]:
        values.pop()
    return hashlib.blake2b("\0".join(values).encode(), digest_size=16).digest()


# Writing


def _store(events: Sequence[SaleEvent], entry: NewEntry, ids: Sequence[int] | None = None) -> Sequence[int]:
    """Write sales and their entry in one transaction. Return the ids of the sales, new ones if not given."""
    if not events and not entry.duplicate and not entry.rejected:
        return []
    return _write(events, [_with_sales(entry, events)], connection, ids)


def _with_sales(entry: NewEntry, events: Sequence[SaleEvent]) -> NewEntry:
    """Return the entry with these events as its accepted sales."""
    revenues: dict[CategoryDay, list[Decimal]] = {}  # a list for each key takes two thirds of the time of `add_up`
    for event in events:
        revenues.setdefault((event.get("CATEGORY"), event["DATE_PAYMENT"].date()), []).append(event["REVENUE"])
    with localcontext(EXACT):
        tallies = [Tally(*key, len(group), sum(group, NO_REVENUE)) for key, group in revenues.items()]
    brands = {brand for event in events if (brand := event.get("BRAND"))}
    return ledger.add_tallies(structs.replace(entry, accepted=len(events), brands=brands), tallies)


def _write(
    events: Sequence[SaleEvent],
    entries: Sequence[NewEntry],
    connection: BaseDatabaseWrapper,
    ids: Sequence[int] | None = None,
    entry_numbers: Sequence[int] | None = None,
) -> Sequence[int]:
    """Write sales and their entries in one transaction.

    `entry_numbers` has the number of each sale's entry. Without it, there is one entry. On a cluster, COPY is faster
    for one sale too, because STORE_FEW is planned and distributed again each time.
    """
    if len(events) > COPY_THRESHOLD or is_distributed(connection.alias):
        return _store_by_copy(events, entries, connection, ids, entry_numbers)
    rows: Sequence[Mapping[str, Any]] = events
    if ids is not None:
        rows = [{"ID": new_id, **event} for new_id, event in zip(ids, events, strict=True)]
    elif entry_numbers is not None:
        rows = [{"ENTRY": number, **event} for number, event in zip(entry_numbers, events, strict=True)]
    return _store_by_json(rows, entries, connection)


def _store_by_json(
    rows: Sequence[Mapping[str, Any]], entries: Sequence[NewEntry], connection: BaseDatabaseWrapper
) -> Sequence[int]:
    """Write sales and entries in one statement. JSON costs half as much as arrays."""
    with connection.cursor() as cursor:
        STORE_FEW.prepare(cursor)
        with committing(connection):
            cursor.execute(STORE_FEW.call, [encode_json(rows).decode(), encode_json(entries).decode()])
        stored = cursor.fetchall()
    new_ids: Sequence[int] = stored[0][1]
    _fold_later([entry_id for entry_id, _ in stored], new_ids, entries, connection.alias)
    return new_ids


def _store_by_copy(
    events: Sequence[SaleEvent],
    entries: Sequence[NewEntry],
    connection: BaseDatabaseWrapper,
    ids: Sequence[int] | None,
    entry_numbers: Sequence[int] | None,
) -> Sequence[int]:
    """Write sales with COPY, the fastest way for many rows (PostgreSQL manual, "Populating a Database")."""
    with transaction.atomic(connection.alias), connection.cursor() as cursor:
        if len(events) <= COPY_THRESHOLD:
            cursor.execute(FEW_CONNECTIONS)  # because each one prepares and commits separately
        new_ids = ids or _draw_ids(cursor, len(events))
        with connection.wrap_database_errors, cursor.copy(COPY_SALES) as copy:  # Django wraps no errors of COPY
            for block in copy_blocks(new_ids, events):
                copy.write(block)
        named = [
            structs.replace(entry, sale_ids=ledger.id_ranges(_ids_of(entry, new_ids, entry_numbers)))
            for entry in entries
        ]
        entry_ids = ledger.append(cursor, named)
        _fold_later(entry_ids, new_ids, entries, connection.alias)
        return new_ids


def _ids_of(entry: NewEntry, ids: Sequence[int], entry_numbers: Sequence[int] | None) -> Sequence[int]:
    if entry_numbers is None:
        return ids
    return [new_id for number, new_id in zip(entry_numbers, ids, strict=True) if number == entry.number]


def _fold_later(entry_ids: Sequence[int], sale_ids: Sequence[int], entries: Sequence[NewEntry], using: str) -> None:
    """Request a fold after the commit, if one is due."""
    tallies = [tally for entry in entries for tally in entry.tallies]
    # On the alias that stored the sales: another one would take a connection from its pool, which may have none left.
    transaction.on_commit(lambda: fold_if_due(entry_ids, sale_ids, tallies), using, robust=True)


def _draw_ids(cursor: CursorWrapper, count: int) -> list[int]:
    cursor.execute("SELECT array(SELECT nextval('sales_id_seq') FROM generate_series(1, %s))", [count])
    ids: list[int] = cursor.fetchone()[0]
    return ids
