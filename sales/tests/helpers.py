"""Sales for tests."""

import datetime
from decimal import Decimal
from typing import Any

from sales.schemas import EXAMPLE, SaleEvent, parse_moment


def sale_event(**changes: Any) -> SaleEvent:
    """A validated event: the example with `changes`, in which a date may be text and a revenue any number."""
    event = EXAMPLE | changes
    paid = event["DATE_PAYMENT"]
    moment = paid if isinstance(paid, datetime.datetime) else parse_moment(paid)
    return event | {"DATE_PAYMENT": moment, "REVENUE": Decimal(str(event["REVENUE"]))}  # type: ignore[return-value]
