"""Validate and store a batch: whole or in part, for real or as a dry run, and once per Idempotency-Key."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.conf import settings
from django.db import Error, connection, transaction
from rest_framework import status

from sales.ingest.batches import Batch
from sales.ingest.dry_run import check_sales
from sales.ingest.fields import SaleEvent
from sales.ingest.group_commit import GroupCommit
from sales.ingest.idempotency import StoredResponse, respond_once
from sales.ingest.rejection import Rejection, store_rejections
from sales.ingest.schema import MAX_LISTED_ERRORS, EventError, ValidationResult, stored_sale
from sales.ingest.writer import COPY_THRESHOLD, SINGLES, PlainSale, WriteResult, record_plain_sales, record_sales
from sales.totals.ledger import Origin
from salesengine.database import retry_deadlocks
from salesengine.distribution import is_distributed
from salesengine.exact_json import encode_json
from salesengine.http.errors import EventConflict, InvalidInput
from salesengine.operations import metrics

CONFLICT: EventError = {"pointer": "/EVENT_ID", "detail": "was sent before with other content"}
PAUSE_ON_A_CLUSTER = 0.003  # seconds
CONFLICTS = "An EVENT_ID cannot stand for two events with different content. Nothing was stored."


@dataclass(frozen=True)
class IngestOptions:
    """How to store a batch.

    `skip` stores the valid events and keeps the others as rejected events; otherwise one invalid event rejects all.
    """

    skip: bool = False
    dry_run: bool = False
    remember: bool = False  # only for a dry run: see `sales.ingest.dry_run.remembering`


@dataclass(frozen=True)
class BatchResult:
    """What happened to the events of a batch."""

    events: Sequence[SaleEvent]  # the valid ones
    written: WriteResult
    rejections: Sequence[Rejection]

    def counts(self) -> dict[str, int]:
        return {
            "accepted": self.written.accepted,
            "duplicate": len(self.written.duplicates),
            "rejected": len(self.rejections),
        }


def _pause() -> float:
    """Return the seconds that a group of single events waits for more. A commit on several nodes takes longer."""
    try:
        return PAUSE_ON_A_CLUSTER if is_distributed(SINGLES) else 0
    except Error:  # the write will fail too, and its error reaches the clients
        return 0


# Concurrent requests with one event and no EVENT_ID share a commit. Such events never wait for a lock.
singles: GroupCommit[PlainSale, int] = GroupCommit(record_plain_sales, COPY_THRESHOLD, settings.SINGLES_TIMEOUT, _pause)


def ingest_batch(batch: Batch, body: bytes, origin: Origin, options: IngestOptions, key: str | None) -> StoredResponse:
    """Store a batch and return the response. `key` is the Idempotency-Key, which a dry run ignores.

    Raises InvalidEvents and EventConflict, unless the options say to skip such events, and what `respond_once` raises.
    """
    if options.dry_run:
        return _ingest(batch, body, origin, options, key)
    if batch.is_list:
        metrics.BATCH_EVENTS.observe(len(batch.values))
    try:
        return _ingest(batch, body, origin, options, key)
    except InvalidInput:
        metrics.count_events(_form(batch), rejected=len(batch.values))
        raise


def _ingest(batch: Batch, body: bytes, origin: Origin, options: IngestOptions, key: str | None) -> StoredResponse:
    result = batch.validate(count_only=not options.skip)
    if result.errors and not options.skip:
        raise batch.validation_error(result)
    if key is not None and not options.dry_run:
        digest = hashlib.sha256(b"%d%d" % (batch.lines is None, options.skip) + body).digest()
        return respond_once(origin.sender, key, digest, partial(_store_and_respond, batch, result, origin, options))
    # A group may be written by the thread of another request, outside of a transaction that the caller has open.
    can_share_commit = _returns_sale(batch, options) and not connection.in_atomic_block
    if can_share_commit and not result.events[0].get("EVENT_ID"):
        sale_id = singles.submit((result.events[0], origin))
        return _sale_response(sale_id, result.events[0], is_new=True)
    return _store_and_respond(batch, result, origin, options)


def _store_and_respond(
    batch: Batch, result: ValidationResult, origin: Origin, options: IngestOptions
) -> StoredResponse:
    stored = store_batch(batch, result, origin, options)
    if not options.dry_run:  # the caller may have a transaction open
        transaction.on_commit(partial(metrics.count_events, _form(batch), **stored.counts()), robust=True)
    if _returns_sale(batch, options):
        return _sale_response(stored.written.ids[0], stored.events[0], is_new=bool(stored.written.accepted))
    body: dict[str, Any] = stored.counts()
    if options.skip:
        body["errors"] = [
            {**batch.position(rejection.index), "errors": rejection.errors}
            for rejection in stored.rejections[:MAX_LISTED_ERRORS]
        ]
    return StoredResponse(_status(stored, options), encode_json(body) + b"\n")


def _form(batch: Batch) -> str:
    return "batch" if batch.is_list else "single"


def _returns_sale(batch: Batch, options: IngestOptions) -> bool:
    """Return whether the response is the stored sale, not counts."""
    return not (batch.is_list or options.skip or options.dry_run)


def _sale_response(sale_id: int, event: SaleEvent, *, is_new: bool) -> StoredResponse:
    code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
    return StoredResponse(code, encode_json(stored_sale(sale_id, event)) + b"\n")


def _status(stored: BatchResult, options: IngestOptions) -> int:
    if options.dry_run:
        return status.HTTP_200_OK
    if stored.rejections:
        return status.HTTP_207_MULTI_STATUS
    return status.HTTP_201_CREATED if stored.written.accepted else status.HTTP_200_OK


@retry_deadlocks
def store_batch(batch: Batch, result: ValidationResult, origin: Origin, options: IngestOptions) -> BatchResult:
    """Store the valid events of a batch and, if the options say so, the rejected ones, in one transaction.

    A dry run stores nothing. Raises EventConflict unless the options say to skip such events.
    """
    with transaction.atomic():
        if options.dry_run:
            written = check_sales(result.events, origin.sender, remember=options.remember)
        else:
            rejected = len(result.errors) if options.skip else None
            written = record_sales(result.events, origin, rejected=rejected)
        errors = {**result.errors, **_conflicts(batch, result, written)}
        if written.conflicts and not options.skip:
            raise EventConflict(batch.locate_errors(errors), CONFLICTS, len(written.conflicts))
        texts = batch.texts() if errors else []
        rejections = [Rejection(index, texts[index], errors[index]) for index in sorted(errors)]
        if rejections and not options.dry_run:
            store_rejections(rejections, batch, origin)
    return BatchResult(result.events, written, rejections)


def _conflicts(batch: Batch, result: ValidationResult, written: WriteResult) -> dict[int, list[EventError]]:
    """Return the errors of conflicting events, by index among the values of the batch."""
    if not written.conflicts:
        return {}
    valid = [index for index in range(len(batch.values)) if index not in result.errors]
    known = written.conflicts | written.duplicates
    new = {event.get("EVENT_ID"): index for index, event in enumerate(result.events) if index not in known}
    errors: dict[int, list[EventError]] = {}
    for index in sorted(written.conflicts):
        error = CONFLICT
        if (other := new.get(result.events[index].get("EVENT_ID"))) is not None:
            error = CONFLICT | {"detail": f"was sent twice with different content: see {batch.name(valid[other])}"}
        errors[valid[index]] = [error]
    return errors
