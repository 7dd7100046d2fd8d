"""Answer a request with corrections, once per Idempotency-Key."""

import hashlib
from collections.abc import Sequence
from typing import Any

from django.db import transaction

from sales.corrections.schema import CorrectionMembers, read_corrections
from sales.corrections.voiding import Corrector, correct_sales, event_of
from sales.ingest.batches import Batch
from sales.ingest.idempotency import StoredResponse, respond_once
from sales.ingest.schema import stored_sale
from sales.models import VoidedSale
from salesengine.accounts.audit_log import new_entry
from salesengine.database import retry_deadlocks
from salesengine.exact_json import encode_json


def correct_batch(
    batch: Batch, body: bytes, corrector: Corrector, key: str | None, user_id: int | None = None
) -> StoredResponse:
    """Make all corrections of a batch or none, and return the response.

    `key` is the Idempotency-Key; `body` is what the batch was read from. The audit log gets an entry if there is a
    `user_id`, that of staff. Raises InvalidEvents, SaleNotFound, AlreadyCorrected, and what `respond_once` raises.
    """
    corrections = read_corrections(batch)

    def work() -> StoredResponse:
        voided = _correct_and_record(batch, corrections, corrector, user_id)
        content = _listed(voided) if batch.is_list else _in_full(voided[0], corrections[0])
        return StoredResponse(200, encode_json(content) + b"\n")

    if key is None:
        return work()
    digest = hashlib.sha256(b"corrections %d" % (batch.lines is None) + body).digest()
    return respond_once(corrector.origin.sender, key, digest, work)


@retry_deadlocks
@transaction.atomic
def _correct_and_record(
    batch: Batch, corrections: Sequence[CorrectionMembers], corrector: Corrector, user_id: int | None
) -> list[VoidedSale]:
    voided = correct_sales(batch, corrections, corrector)
    if user_id and voided:
        changed = voided[0] if len(voided) == 1 else VoidedSale
        replaced = sum(sale.replaced_by is not None for sale in voided)
        counts = f"{len(voided) - replaced:,} voided, {replaced:,} replaced"
        new_entry(user_id, changed, f"{counts} by the API. Request: {corrector.origin.source}").save()
    return voided


def _in_full(voided: VoidedSale, correction: CorrectionMembers) -> dict[str, Any]:
    """Return the voided sale, and the sale that takes its place."""
    about = {name: getattr(voided, name) for name in ("voided_at", "reason", "replaced_by")}
    replacement = None
    if voided.replaced_by and (event := correction.get("sale")):
        replacement = stored_sale(voided.replaced_by, {**event, "EVENT_ID": voided.event_id})
    return {"voided": stored_sale(voided.pk, event_of(voided)) | about, "sale": replacement}


def _listed(voided: Sequence[VoidedSale]) -> dict[str, Any]:
    """Return only ids, because a request may have many corrections."""
    return {"results": [{"ID": sale.pk, "replaced_by": sale.replaced_by} for sale in voided]}
