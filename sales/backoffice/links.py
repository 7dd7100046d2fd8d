"""URLs of the admin's pages on sales, buyers and sellers."""

import datetime
import re
from collections.abc import Mapping
from urllib.parse import urlencode

from django.urls import reverse

from sales.ingest.fields import FILTERS

# Query parameters of the list of sales. `start` and `end` are days of payment in UTC, both included.
LOOKUPS = {
    **{name: f"{field.lookup}__exact" for name, field in FILTERS.items()},
    "start": "date_payment_from",
    "end": "date_payment_to",
}
UNSAFE = re.compile(r"[%/\\\s]|\A\.{1,2}\Z")
NULLABLE = [name for name, field in FILTERS.items() if not field.is_required]


def sales_url(filters: Mapping[str, object]) -> str:
    """Return the URL of the list of sales with these values. The keys are those of LOOKUPS.

    None selects sales without a brand or category. For other fields, which are never empty, None is no filter.
    """
    query = {LOOKUPS[field]: _text(value) for field, value in filters.items() if value is not None}
    query |= {f"{field}__isnull": "True" for field in NULLABLE if field in filters and filters[field] is None}
    return f"{reverse('admin:sales_sale_changelist')}?{urlencode(query)}"


def order_url(id_order: str) -> str:
    """Return the URL of the list of the sales of an order."""
    return sales_url({"id_order": id_order})


def voided_url(text: str) -> str:
    """Return the URL of the list of the voided sales of this order, or with this id."""
    return f"{reverse('admin:sales_voidedsale_changelist')}?{urlencode({'q': text})}"


def trader_url(side: str, trader_id: str) -> str:
    """Return the URL of the page of a trader, whose side is "buyer" or "seller".

    Browsers and proxies change paths with slashes or only dots, even if these are percent-encoded. So such characters
    are encoded twice, and the view decodes the id once more with `urllib.parse.unquote`.
    """
    encoded = UNSAFE.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), trader_id)
    return reverse(f"sales_{side}", args=[encoded])


def _text(value: object) -> str:
    """Return the text of a value. A timestamp becomes its day in UTC."""
    if isinstance(value, datetime.datetime):
        value = (value.astimezone(datetime.UTC) if value.tzinfo else value).date()
    return str(value)
