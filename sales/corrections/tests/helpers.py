"""Store sales of the client `shop`, and correct them."""

from typing import Any

from sales.corrections.schema import read_corrections
from sales.corrections.voiding import Corrector, correct_sales
from sales.ingest.batches import Batch
from sales.ingest.schema import EXAMPLE
from sales.ingest.writer import record_sales
from sales.models import VoidedSale
from sales.tests.helpers import sale_event
from sales.totals.ledger import Origin

SHOP = Origin("shop", "r-1")
STAFF = Corrector("user:jo", Origin("user:jo", "correction by jo"), own_only=False)
CLIENT = Corrector("shop", Origin("shop", "r-2"), own_only=True)


def store(*changes: dict[str, Any], origin: Origin = SHOP) -> list[int]:
    """Store the example with each of these changes, in one write. Return the ids of the sales."""
    return list(record_sales([sale_event(**each) for each in changes], origin).ids)


def void(**which: Any) -> dict[str, Any]:
    """Return a correction of the sale with this ID or EVENT_ID."""
    return {**which, "action": "void", "reason": "test order"}


def replace(changes: dict[str, Any], **which: Any) -> dict[str, Any]:
    """Return a correction after which the sale is the example with these changes."""
    return {**which, "action": "replace", "reason": "wrong price", "sale": EXAMPLE | changes}


def correct(*corrections: dict[str, Any], by: Corrector = STAFF) -> list[VoidedSale]:
    batch = Batch(corrections, list)
    return correct_sales(batch, read_corrections(batch), by)
