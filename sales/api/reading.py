"""Read sales back: page by page, newest payment first, or all lines of one order."""

import datetime
from typing import Any, NamedTuple

from django.db.models import BooleanField, F, Func, QuerySet, Value
from django.db.models.lookups import LessThan

from sales.api.parameters import SalesCursor, SalesQuery
from sales.ingest.fields import FIELDS, FILTERS
from sales.models import Sale
from sales.totals.periods import between, end_of, nearest_days
from salesengine.http.errors import InvalidInput, TookTooLong
from salesengine.operations.statement_timeout import StatementTimedOut, statement_timeout

# The fields of a sale in responses, and the attributes of the model that hold them.
ATTRIBUTES = {
    "ID": "id",
    **{name: field.model_field.attname for name, field in FIELDS.items()},
    "RECEIVED_AT": "received_at",
}
FILTERED_SALES = 20_000  # newest sales to search first for a page of a filter
MAX_LINES = 10_000  # of one order in one response
READ_TIMEOUT = 5  # seconds for one query

SaleJSON = dict[str, Any]


class SalesPage(NamedTuple):
    """The sales of a page, and the position of its last sale; None on the last page."""

    sales: list[SaleJSON]
    end: SalesCursor | None


def find_sales(query: SalesQuery) -> SalesPage:
    """Return a page of the matching sales, ordered by payment and id, the newest first.

    The cursor is a position in an index, so every page costs the same, and new sales do not shift the sales on later
    pages. Raises TookTooLong.
    """
    exact = {FILTERS[name].model_field.attname: value for name, value in query.filters.items()}
    stop, after = query.stop, query.after
    if stop and after:
        # Keep the stricter condition only. With both, PostgreSQL may start its index scan at the other one.
        stop, after = (None, after) if after.date_payment < stop else (stop, None)
    sales = Sale.objects.filter(**exact).order_by("-date_payment", "-id")
    if after:
        # The second condition only excludes later months. PostgreSQL starts its index scan at the first.
        sales = sales.filter(_follows(after)).filter(between("date_payment", None, end_of(after.date_payment.date())))
    sales = sales.filter(between("date_payment", query.start, stop))
    rows = _fetch_newest(sales, query, after.date_payment if after else stop)
    page = rows[: query.limit]
    has_more = len(rows) > query.limit
    return SalesPage(page, SalesCursor(page[-1]["DATE_PAYMENT"], page[-1]["ID"]) if has_more else None)


def order_lines(id_order: str) -> list[SaleJSON]:
    """Return all sales of an order, oldest payment first; none for an unknown order.

    Raises InvalidInput for an id that no order can have or an order with more than MAX_LINES sales, and TookTooLong.
    """
    if "\0" in id_order:
        raise InvalidInput([], "The id of an order cannot contain the character NUL.")
    rows = _fetch(Sale.objects.filter(id_order=id_order).order_by("date_payment", "id")[: MAX_LINES + 1])
    if len(rows) > MAX_LINES:
        raise InvalidInput(
            [], f"This order has more than {MAX_LINES:,} lines. Read it page by page, from /sales with id_order."
        )
    return rows


def _follows(cursor: SalesCursor) -> LessThan:
    """Compare (date_payment, id) as one row value, so that an index finds the page even among equal payments."""
    return LessThan(_row(F("date_payment"), F("id")), _row(Value(cursor.date_payment), Value(cursor.id)))


def _fetch_newest(sales: QuerySet[Sale], query: SalesQuery, end: datetime.datetime | None) -> list[SaleJSON]:
    """Return the first sales of the page and one more. Most pages end within the days before `end`."""
    size = query.limit + 1
    number = max(size, FILTERED_SALES) if query.filters else size
    days = nearest_days(number, start=query.start and query.start.date(), stop=end and end.date())
    rows = _fetch(sales.filter(days)[:size]) if days else []
    return rows if len(rows) == size else _fetch(sales[:size])


def _row(*columns: F | Value) -> Func:
    return Func(*columns, function="ROW", output_field=BooleanField())


def _fetch(sales: QuerySet[Sale]) -> list[SaleJSON]:
    """Return the sales with the field names of the API, from one query that may take READ_TIMEOUT seconds."""
    try:
        with statement_timeout(READ_TIMEOUT):
            return [dict(zip(ATTRIBUTES, row, strict=True)) for row in sales.values_list(*ATTRIBUTES.values())]
    except StatementTimedOut:
        raise TookTooLong(
            f"The database did not find enough matching sales within {READ_TIMEOUT} seconds. "
            "Narrow the query with start_date and end_date, or lower the limit."
        ) from None
