"""Say which write brought a sale, from the ledger."""

from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.urls import reverse
from django.utils.http import urlencode

from sales.models import RejectedEvent, Sale
from sales.rejected.replay import REPLAY

UNKNOWN = "Unknown: the sale is older than the ledger, or than what the ledger keeps"
# An entry and its sales have the same time. Its sources are one for all sales, or one for each in the order of ids.
FIND_ENTRY = """
    SELECT sender, received_at, CASE cardinality(sources) WHEN 1 THEN sources[1] ELSE sources[(
        SELECT SUM(least(upper(ids), %(sale)s + 1) - lower(ids))
        FROM unnest(sale_ids) AS ids
        WHERE lower(ids) <= %(sale)s
    )] END
    FROM ledger
    WHERE received_at = %(received_at)s AND sale_ids @> %(sale)s::bigint AND voided = 0
    """


@dataclass(frozen=True)
class SaleOrigin:
    """Who sent a sale, when, and the id of the request, the name of the file, or the replay that brought it."""

    sender: str
    received_at: datetime
    source: str


def find_origin(sale: Sale) -> SaleOrigin | None:
    """Return the origin of a sale, or None if the ledger does not have it."""
    with connection.cursor() as cursor:
        cursor.execute(FIND_ENTRY, {"sale": sale.pk, "received_at": sale.received_at})
        row = cursor.fetchone()
    return row and SaleOrigin(*row)


def rejected_url(sale: Sale, origin: SaleOrigin) -> str:
    """Return the URL of the rejected event that was replayed as the sale, or of all from its source; "" if none."""
    rejected = RejectedEvent.objects.filter(sender=origin.sender)
    if origin.source.startswith(REPLAY):
        replayed = rejected.filter(replayed_at=origin.received_at, sale_id=sale.pk).first()
        return reverse("admin:sales_rejectedevent_change", args=[replayed.pk]) if replayed else ""
    if rejected.filter(source=origin.source).exists():
        query = urlencode({"q": origin.source, "state": "all"})
        return f"{reverse('admin:sales_rejectedevent_changelist')}?{query}"
    return ""
