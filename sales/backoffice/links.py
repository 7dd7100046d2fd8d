"""Where in the admin the sales are that a number is made of, and the buyers and sellers."""

import datetime
import re
from collections.abc import Mapping
from urllib.parse import urlencode

from django.urls import reverse

from sales.ingest.fields import FILTERS

# What the admin's list of sales takes in its address; days are those of payment in UTC, both included.
LOOKUPS = {
    **{name: f"{field.lookup}__exact" for name, field in FILTERS.items()},
    "start": "date_payment_from",
    "end": "date_payment_to",
}
UNSAFE = re.compile(r"[%/\\\s]|\A\.{1,2}\Z")
NULLABLE = [name for name, field in FILTERS.items() if not field.is_required]


def sales_address(filters: Mapping[str, object]) -> str:
    """The list of the sales that have these values; keys are those of LOOKUPS.

    None means sales without a brand or category, and any sale in the other fields, which no sale is without.
    """
    query = {LOOKUPS[field]: _text(value) for field, value in filters.items() if value is not None}
    query |= {f"{field}__isnull": "True" for field in NULLABLE if field in filters and filters[field] is None}
    return f"{reverse('admin:sales_sale_changelist')}?{urlencode(query)}"


def trader_address(side: str, trader_id: str) -> str:
    """The page of a "buyer" or "seller"; `urllib.parse.unquote` makes an id of what its address ends with.

    Browsers and proxies would take apart a path that holds slashes or dots alone, also escaped ones, so these are
    escaped twice.
    """
    escaped = UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), trader_id)
    return reverse(f"sales_{side}", args=[escaped])


def _text(value: object) -> str:
    """A moment is its day in UTC."""
    if isinstance(value, datetime.datetime):
        value = (value.astimezone(datetime.UTC) if value.tzinfo else value).date()
    return str(value)
