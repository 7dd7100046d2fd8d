"""Void and replace sales in one transaction.

`sales` holds what is true, so a wrong sale moves to `voided_sale`. A ledger entry takes it away from the totals, and
its replacement is a new sale of the same sender.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from django.db import connection, transaction

from sales.corrections.schema import CorrectionMembers
from sales.ingest.batches import Batch
from sales.ingest.fields import FIELDS, SaleEvent
from sales.ingest.schema import EventError
from sales.ingest.writer import content_digest, record_sales
from sales.models import EventId, Sale, SoldItem, VoidedSale
from sales.totals import folding, ledger
from sales.totals.archives import find_archived
from sales.totals.ledger import Origin
from salesengine.database import retry_deadlocks
from salesengine.exact_json import encode_json
from salesengine.http.errors import AlreadyCorrected, DatabaseUnavailable, InvalidEvents, SaleNotFound, SalesArchived
from salesengine.operations.metrics import CORRECTIONS

# A sale has at most one claim of an EVENT_ID. Its entry may be purged, or be that of all sales before the ledger.
SENDERS = """
    SELECT sale.id, coalesce(claim.sender, entry.sender)
    FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[]) AS sale (id, received_at, event_id)
    LEFT JOIN event_ids AS claim ON claim.event_id = sale.event_id AND claim.sale_id = sale.id
    LEFT JOIN LATERAL (
        SELECT sender FROM ledger
        WHERE claim.sender IS NULL AND received_at = sale.received_at AND sale_ids @> sale.id AND voided = 0
        LIMIT 1
    ) AS entry ON true
    """
# A sale has one claim at most, so no other pairs match.
RELEASE_CLAIMS = "DELETE FROM event_ids WHERE event_id = ANY(%s::text[]) AND sale_id = ANY(%s::bigint[])"
SALE_COLUMNS = {field.attname: str(field.column) for field in Sale._meta.concrete_fields}
VOIDED_COLUMNS = ", ".join([*SALE_COLUMNS.values(), "voided_by", "reason", "replaced_by"])
STORE_VOIDED = f"""
    INSERT INTO voided_sale ({VOIDED_COLUMNS})
    SELECT {VOIDED_COLUMNS} FROM json_populate_recordset(NULL::voided_sale, %s)
    """  # noqa: S608  # names only
DELETE_SALES = "DELETE FROM sales WHERE id = ANY(%s::bigint[])"


@dataclass(frozen=True)
class Corrector:
    """Who corrects sales, and from where."""

    name: str  # stored with the voided sales
    origin: Origin  # whose EVENT_IDs are meant, and the id of the request or the name of the file
    own_only: bool  # whether they may correct only the sales of this sender


@dataclass(frozen=True)
class Wrong:
    """A sale to correct, who sent it (None if that is not known), and the sale that is right (None to void it)."""

    sale: Sale
    sender: str | None
    reason: str
    replacement: SaleEvent | None


@retry_deadlocks
def correct_sales(batch: Batch, corrections: Sequence[CorrectionMembers], corrector: Corrector) -> list[VoidedSale]:
    """Make all of the corrections or none, in one transaction. Return the voided sales in the same order.

    `batch` locates the errors. Raises what `check_corrections` raises, DatabaseUnavailable and django.db.Error.
    """
    if not corrections:
        return []
    with transaction.atomic():
        ids = _find_ids(corrections, corrector)
        wrong = _find(batch, corrections, corrector, ids)
        if not _delete(ids):
            # Raises AlreadyCorrected, because the other transaction has ended by now.
            _find(batch, corrections, corrector, ids)
            raise DatabaseUnavailable("Some of the sales left the database meanwhile. Nothing was corrected.")
        _take_away([each.sale for each in wrong], corrector)
        new_ids = _replace([each for each in wrong if each.replacement], corrector)
        _store_voided(wrong, new_ids, corrector)
        moved = VoidedSale.objects.in_bulk([each.sale.pk for each in wrong])
        for action, count in Counter(correction["action"] for correction in corrections).items():
            transaction.on_commit(partial(CORRECTIONS.labels(action).inc, count), robust=True)
    return [moved[each.sale.pk] for each in wrong]


def check_corrections(batch: Batch, corrections: Sequence[CorrectionMembers], corrector: Corrector) -> None:
    """Raise SaleNotFound, SalesArchived, InvalidEvents or AlreadyCorrected if the corrections cannot be made now.

    Locks nothing.
    """
    _find(batch, corrections, corrector, _find_ids(corrections, corrector))


def event_of(sale: SoldItem) -> SaleEvent:
    """Return the event that a sale was made from."""
    return {name: getattr(sale, field.model_field.attname) for name, field in FIELDS.items()}  # type: ignore[return-value]


# Finding the sales


def _find(
    batch: Batch, corrections: Sequence[CorrectionMembers], corrector: Corrector, ids: Sequence[int]
) -> list[Wrong]:
    """Return the sales with these ids, which the corrections mean, in the order of the corrections."""
    found: dict[int, Sale] = {sale.pk: sale for sale in Sale.objects.filter(pk__in=set(ids))}
    voided: dict[int, VoidedSale] = VoidedSale.objects.in_bulk(set(ids) - found.keys())
    missing = set(ids) - found.keys() - voided.keys()
    archived = _find_archived(corrections, ids, missing, corrector) if missing else {}
    if missing and not archived:  # they may have been archived until now
        found |= {sale.pk: sale for sale in Sale.objects.filter(pk__in=missing)}
    senders = _find_senders([*found.values(), *voided.values()])
    # Each check looks at all corrections before the next one, so that a response lists errors of one kind.
    for error_type, find_error in (
        (SalesArchived, partial(_archived, archived)),
        (SaleNotFound, partial(_unknown, senders, corrector)),
        (InvalidEvents, partial(_inconsistent, {**found, **voided}, set())),
        (AlreadyCorrected, partial(_corrected_before, found, voided)),
    ):
        errors = {
            index: [error]
            for index, (correction, sale_id) in enumerate(zip(corrections, ids, strict=True))
            if (error := find_error(correction, sale_id))
        }
        if errors:
            raise error_type(batch.locate_errors(errors), None, len(errors))
    return [
        Wrong(found[sale_id], senders[sale_id], correction["reason"], _replacement(correction, found[sale_id]))
        for correction, sale_id in zip(corrections, ids, strict=True)
    ]


def _find_ids(corrections: Sequence[CorrectionMembers], corrector: Corrector) -> list[int]:
    """Return the id of the sale of each correction, or 0 for an EVENT_ID that the sender has not sent."""
    event_ids = [event_id for correction in corrections if (event_id := correction.get("EVENT_ID"))]
    claims = EventId.objects.filter(sender=corrector.origin.sender, event_id__in=event_ids)
    by_event_id = dict(claims.values_list("event_id", "sale_id"))
    return [correction.get("ID") or by_event_id.get(correction.get("EVENT_ID") or "", 0) for correction in corrections]


def _find_senders(sales: Sequence[SoldItem]) -> dict[int, str | None]:
    """Return who sent each sale, by its id. None if that is not known."""
    values = ([getattr(sale, name) for sale in sales] for name in ("pk", "received_at", "event_id"))
    with connection.cursor() as cursor:
        cursor.execute(SENDERS, list(values))
        return dict(cursor.fetchall())


def _unknown(
    senders: Mapping[int, str | None], corrector: Corrector, correction: CorrectionMembers, sale_id: int
) -> EventError | None:
    if sale_id in senders and (not corrector.own_only or senders[sale_id] == corrector.origin.sender):
        return None
    whose = "that you sent" if corrector.own_only else "that is known"
    return {"pointer": _pointer(correction), "detail": f"belongs to no sale {whose}"}


def _find_archived(
    corrections: Sequence[CorrectionMembers], ids: Sequence[int], missing: Collection[int], corrector: Corrector
) -> Mapping[int, object]:
    """Return the months of archived sales, by id. An EVENT_ID proves who sent it. Of an ID, only the ledger knows."""
    by_event_id = {sale_id for correction, sale_id in zip(corrections, ids, strict=True) if not correction.get("ID")}
    sender = corrector.origin.sender if corrector.own_only else None
    return find_archived(by_event_id.intersection(missing)) | find_archived(set(missing) - by_event_id, sender)


def _archived(months: Mapping[int, object], correction: CorrectionMembers, sale_id: int) -> EventError | None:
    if sale_id not in months:
        return None
    detail = f"belongs to a sale that is archived. manage.py restore_sales brings {months[sale_id]} back"
    return {"pointer": _pointer(correction), "detail": detail}


def _inconsistent(
    sales: Mapping[int, SoldItem], seen: set[int], correction: CorrectionMembers, sale_id: int
) -> EventError | None:
    """Return an error of a correction. Adds its sale to those that are `seen`."""
    if sale_id in seen:
        return {"pointer": _pointer(correction), "detail": "belongs to a sale that is corrected twice"}
    seen.add(sale_id)
    event = correction.get("sale")
    event_id = event and event.get("EVENT_ID")
    if event_id and event_id != sales[sale_id].event_id:
        return {"pointer": "/sale/EVENT_ID", "detail": "must be left out, or be that of the sale that is replaced"}
    return None


def _corrected_before(
    found: Mapping[int, Sale], voided: Mapping[int, VoidedSale], correction: CorrectionMembers, sale_id: int
) -> EventError | None:
    if sale := voided.get(sale_id):
        by = f" and replaced by the sale {sale.replaced_by}" if sale.replaced_by else ""
        detail = f"belongs to the sale {sale_id}, which was voided at {sale.voided_at:%Y-%m-%dT%H:%M:%SZ}{by}"
        return {"pointer": _pointer(correction), "detail": detail}
    if (event := correction.get("sale")) and content_digest(event) == content_digest(event_of(found[sale_id])):
        return {"pointer": "/sale", "detail": f"is what the sale {sale_id} says already"}
    return None


def _pointer(correction: CorrectionMembers) -> str:
    return "/ID" if correction.get("ID") else "/EVENT_ID"


def _replacement(correction: CorrectionMembers, sale: Sale) -> SaleEvent | None:
    event = correction.get("sale")
    return {**event, "EVENT_ID": sale.event_id} if event else None


# Writing


def _delete(ids: Sequence[int]) -> bool:
    """Delete the sales, all or none of them. Return False if another transaction has deleted some.

    The deleted rows are the lock that lets only one of two corrections continue: the other one waits here for it.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(DELETE_SALES, [sorted(ids)])
        is_complete: bool = cursor.rowcount == len(ids)
        transaction.set_rollback(not is_complete)
    return is_complete


def _take_away(sales: Sequence[Sale], corrector: Corrector) -> None:
    """Append the ledger entry that takes the sales away from the totals."""
    ids = sorted(sale.pk for sale in sales)
    entry = ledger.NewEntry(
        corrector.origin.sender,
        [corrector.origin.source],
        voided=len(ids),
        sale_ids=ledger.id_ranges(ids),
    )
    entry = ledger.add_tallies(entry, ledger.tallies(ledger.figures_of(sales, -1)))
    with connection.cursor() as cursor:
        entry_ids = ledger.append(cursor, [entry])
    transaction.on_commit(lambda: folding.fold_if_due(entry_ids, tallies=entry.tallies), robust=True)


def _replace(wrong: Sequence[Wrong], corrector: Corrector) -> dict[int, int]:
    """Store the replacements as new sales of the same senders. Return the new ids by the ids of the wrong sales.

    The EVENT_IDs move to the new sales. A client that sends one of them meanwhile waits for this transaction's end.
    """
    event_ids, ids = [each.sale.event_id for each in wrong], [each.sale.pk for each in wrong]
    with connection.cursor() as cursor:
        cursor.execute(RELEASE_CLAIMS, [event_ids, ids])
    by_sender: dict[str, dict[int, SaleEvent]] = {}
    for each in wrong:
        sender = corrector.origin.sender if each.sender is None else each.sender
        by_sender.setdefault(sender, {})[each.sale.pk] = each.replacement  # type: ignore[assignment]  # never None here
    new_ids: dict[int, int] = {}
    for sender, events in sorted(by_sender.items()):
        written = record_sales(list(events.values()), Origin(sender, corrector.origin.source))
        assert written.accepted == len(events)  # their claims are free
        new_ids |= dict(zip(events, written.ids, strict=True))
    return new_ids


def _store_voided(wrong: Sequence[Wrong], new_ids: Mapping[int, int], corrector: Corrector) -> None:
    rows = [
        {column: getattr(each.sale, name) for name, column in SALE_COLUMNS.items()}
        | {"voided_by": corrector.name, "reason": each.reason, "replaced_by": new_ids.get(each.sale.pk)}
        for each in wrong
    ]
    with connection.cursor() as cursor:
        cursor.execute(STORE_VOIDED, [encode_json(rows).decode()])
