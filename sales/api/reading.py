"""Reading sales back: page by page, the newest payment first, or all lines of one order."""

from typing import Any, NamedTuple

import psycopg
from django.db import OperationalError, connection, transaction
from django.db.models import BooleanField, F, Func, QuerySet, Value
from django.db.models.lookups import LessThan

from sales.api.parameters import SalesCursor, SalesQuery
from sales.models import Sale
from sales.totals.periods import between
from salesengine.http.errors import InvalidInput, TookTooLong

# What a sale is answered with, and where it is kept. The names in the middle are those of the sale event.
FIELDS = {
    "ID": "id",
    "ID_ORDER": "id_order",
    "ID_PRODUCT": "id_product",
    "ID_BUYER": "id_buyer",
    "ID_SELLER": "id_seller",
    "ID_SELLER_COUNTRY": "seller_country_id",
    "ID_BUYER_COUNTRY": "buyer_country_id",
    "DATE_PAYMENT": "date_payment",
    "BRAND": "brand",
    "CATEGORY": "category",
    "REVENUE": "revenue",
    "EVENT_ID": "event_id",
    "RECEIVED_AT": "received_at",
}
MAX_LINES = 10_000  # of one order, in one answer
READ_TIMEOUT = 5  # seconds that a page may take

Row = dict[str, Any]


class SalesPage(NamedTuple):
    """Some of the sales asked for, and the place of the last one where there are more (None: these were the last)."""

    sales: list[Row]
    end: SalesCursor | None


def find_sales(query: SalesQuery) -> SalesPage:
    """One page of the sales asked for: the newest payment first, then the highest id.

    A page is found by its place in this order, in an index, so page 10,000 costs what page 1 does, and sales that come
    in meanwhile neither shift nor hide those on later pages. Raises TookTooLong.
    """
    equal = {FIELDS[name.upper()]: value for name, value in query.filters.items()}
    stop, after = query.stop, query.after
    if stop and after:
        # The further one implies the other. Given both, PostgreSQL enters the index at either, and reads on from there.
        stop, after = (None, after) if after.date_payment < stop else (stop, None)
    sales = Sale.objects.filter(between("date_payment", query.start, stop), **equal)
    if after:
        sales = sales.filter(_after(after))
    rows = _fetch(sales.order_by("-date_payment", "-id")[: query.limit + 1])
    page = rows[: query.limit]
    more = len(rows) > query.limit
    return SalesPage(page, SalesCursor(page[-1]["DATE_PAYMENT"], page[-1]["ID"]) if more else None)


def order_lines(id_order: str) -> list[Row]:
    """All sales of an order, the oldest payment first; [] for an order that is not known.

    Raises InvalidInput for an order that is too long for one answer, and TookTooLong.
    """
    rows = _fetch(Sale.objects.filter(id_order=id_order).order_by("date_payment", "id")[: MAX_LINES + 1])
    if len(rows) > MAX_LINES:
        raise InvalidInput(
            [], f"This order has more than {MAX_LINES:,} lines: read it page by page, at /sales with id_order."
        )
    return rows


def _after(place: SalesCursor) -> LessThan:
    """(date_payment, id) < (..., ...): as one comparison the index answers it, however many sales have one payment."""
    return LessThan(_row(F("date_payment"), F("id")), _row(Value(place.date_payment), Value(place.id)))


def _row(*columns: F | Value) -> Func:
    return Func(*columns, function="ROW", output_field=BooleanField())


def _fetch(sales: QuerySet[Sale]) -> list[Row]:
    """The sales in the API's names, in one query that is ended when it takes too long."""
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{READ_TIMEOUT}s"])
            return [dict(zip(FIELDS, row, strict=True)) for row in sales.values_list(*FIELDS.values())]
    except OperationalError as error:
        if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
            raise TookTooLong(
                f"The database looked for {READ_TIMEOUT} seconds and has not found enough sales that match. "
                "Narrow the question with start_date and end_date, or lower the limit."
            ) from None
        raise
