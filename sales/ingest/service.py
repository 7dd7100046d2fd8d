"""What POST /ingest does with a batch: whole or in part, for real or as a rehearsal, once however often it is sent."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import transaction
from rest_framework import status

from sales.ingest.batches import Batch
from sales.ingest.group_commit import GroupCommit
from sales.ingest.idempotency import IngestResponse, respond_once
from sales.ingest.rejection import Rejected, keep_rejected
from sales.ingest.schema import EventError, SaleEvent, ValidationResult, stored_sale, validate_events
from sales.ingest.writer import FEW, WriteResult, record_plain_sales, record_sales
from salesengine.http.errors import EventConflict
from salesengine.http.renderers import encode_json

CONFLICT: EventError = {"pointer": "/EVENT_ID", "detail": "was sent before with other contents"}
CONFLICTS = "An EVENT_ID names one event for good: what was sent before cannot be sent changed. Nothing was stored."


@dataclass(frozen=True)
class IngestOptions:
    """How a batch is taken: `skip` takes the good events and keeps the bad ones apart, instead of all or nothing."""

    skip: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Delivery:
    """Who asks for what, besides the events themselves."""

    sender: str
    source: str  # of rejected events: the id of the request, the name of the file
    options: IngestOptions


@dataclass(frozen=True)
class StoredBatch:
    """What became of a batch."""

    events: Sequence[SaleEvent]
    recorded: WriteResult
    rejected: Sequence[Rejected]

    def counts(self) -> dict[str, int]:
        return {
            "accepted": self.recorded.accepted,
            "duplicate": len(self.recorded.duplicates),
            "rejected": len(self.rejected),
        }


# Single events of concurrent requests share a commit, where nothing about them can have to wait.
singles: GroupCommit[SaleEvent, int] = GroupCommit(record_plain_sales, at_most=FEW)


def ingest_batch(batch: Batch, body: bytes, delivery: Delivery, key: str | None) -> IngestResponse:
    """Take in what was sent, and say so. `key` is the Idempotency-Key; a rehearsal needs none.

    Raises InvalidInput and EventConflict, unless bad events are to be skipped, and what `answer_once` raises.
    """
    checked = validate_events(batch.values)
    if checked.errors and not delivery.options.skip:
        raise batch.refusal(checked)
    if key is not None and not delivery.options.dry_run:
        digest = hashlib.sha256(b"%d%d" % (batch.lines is None, delivery.options.skip) + body).digest()
        return respond_once(delivery.sender, key, digest, partial(_answer, batch, checked, delivery))
    if _asks_for_sale(batch, delivery) and not checked.events[0].get("EVENT_ID"):
        return _stored(singles.submit(checked.events[0]), checked.events[0], is_new=True)
    return _answer(batch, checked, delivery)


def _answer(batch: Batch, checked: ValidationResult, delivery: Delivery) -> IngestResponse:
    with dry_run_transaction(delivery.options.dry_run):
        taken = store_batch(batch, checked, delivery)
    if _asks_for_sale(batch, delivery):
        return _stored(taken.recorded.ids[0], taken.events[0], is_new=bool(taken.recorded.accepted))
    body: dict[str, Any] = taken.counts()
    if delivery.options.skip:
        body["errors"] = [{**batch.place(each.index), "errors": each.errors} for each in taken.rejected]
    return IngestResponse(_status(taken, delivery), encode_json(body) + b"\n")


def _asks_for_sale(batch: Batch, delivery: Delivery) -> bool:
    """Whether the answer is the stored sale itself, and not numbers."""
    return not (batch.is_list or delivery.options.skip or delivery.options.dry_run)


def _stored(sale_id: int, event: SaleEvent, *, is_new: bool) -> IngestResponse:
    code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
    return IngestResponse(code, encode_json(stored_sale(sale_id, event)) + b"\n")


def _status(taken: StoredBatch, delivery: Delivery) -> int:
    if delivery.options.dry_run:
        return status.HTTP_200_OK
    if taken.rejected:
        return status.HTTP_207_MULTI_STATUS
    return status.HTTP_201_CREATED if taken.recorded.accepted else status.HTTP_200_OK


@contextmanager
def dry_run_transaction(is_one: bool) -> Iterator[None]:
    """Leave nothing behind of what is done within, if it is one."""
    if not is_one:
        yield
        return
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def store_batch(batch: Batch, checked: ValidationResult, delivery: Delivery) -> StoredBatch:
    """Store the good events of a batch and, where bad ones are skipped, keep those; all in one transaction.

    A dry run finds the same, within a `rehearsal` of the caller's. Raises EventConflict unless bad ones are skipped.
    """
    with transaction.atomic():
        recorded = record_sales(checked.events, delivery.sender, dry_run=delivery.options.dry_run)
        errors = {**checked.errors, **_conflicts(batch, checked, recorded)}
        if recorded.conflicts and not delivery.options.skip:
            raise EventConflict(batch.all_placed(errors), CONFLICTS, len(recorded.conflicts))
        texts = batch.texts() if errors else []
        rejected = [Rejected(index, texts[index], errors[index]) for index in sorted(errors)]
        if rejected and not delivery.options.dry_run:
            keep_rejected(rejected, batch, delivery.sender, delivery.source)
    return StoredBatch(checked.events, recorded, rejected)


def _conflicts(batch: Batch, checked: ValidationResult, recorded: WriteResult) -> dict[int, list[EventError]]:
    """The errors of events that came before with other contents, by place among the values."""
    if not recorded.conflicts:
        return {}
    places = [place for place in range(len(batch.values)) if place not in checked.errors]
    return {places[number]: [CONFLICT] for number in sorted(recorded.conflicts)}
