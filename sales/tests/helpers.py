"""Sale events and rejected events for tests."""

import datetime
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from django.db import connection

from sales.ingest.fields import SaleEvent, parse_timestamp
from sales.ingest.schema import EXAMPLE
from sales.models import RejectedEvent
from sales.partitions import making
from sales.partitions.months import Month

EVENT = json.dumps(EXAMPLE)


def sale_event(**changes: Any) -> SaleEvent:
    """Return a validated event: the example with `changes`. A date may be text, a revenue any number."""
    event = EXAMPLE | changes
    paid = event["DATE_PAYMENT"]
    timestamp = paid if isinstance(paid, datetime.datetime) else parse_timestamp(paid)
    return event | {"DATE_PAYMENT": timestamp, "REVENUE": Decimal(str(event["REVENUE"]))}  # type: ignore[return-value]


def make_months_anew(days: Iterable[datetime.date]) -> None:
    """Make new partitions of these days, whatever other tests have made, dropped, or left from before partitions."""
    days = list(days)
    making._known = frozenset()
    old = {"sales_before_partitions", *(Month.of(day).table for day in days)}
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {', '.join(old)}")
    making.make_months(days, patient=True)


def rejected_event(content=EVENT, sender="shop", **fields):
    """Create a rejected event with this content: bytes, text or an object."""
    text = content if isinstance(content, str | bytes) else json.dumps(content)
    content = text if isinstance(text, bytes) else text.encode()
    values = {
        "source": "r-1",
        "position": 0,
        "reason": "REVENUE is required",
        "errors": [{"pointer": "", "detail": ""}],
    }
    return RejectedEvent.objects.create(content=content, sender=sender, **values | fields)


@contextmanager
def refusing(table: str, condition: str) -> Iterator[None]:
    """Reject new and changed rows of the table unless they meet the condition, so that a write fails half-way."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} ADD CONSTRAINT closed CHECK ({condition}) NOT VALID")
        yield
        cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT closed")
