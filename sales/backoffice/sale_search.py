"""Finding a page of the sales that match, at once however many there are and however few of them match.

No index gives every filter's sales in the order of their payment, and two-column indexes would cost ingest a seventh.
So there are two ways, each quick where the other is not:

- by index: fetch all that match, in whatever order, and sort them. PostgreSQL's plan says what that costs beforehand.
- by walking: go through the newest sales, and stop as soon as the page is full, or after the first DEPTH.

Where a walk does not fill the page, the index gets a moment after all: a plan does not know that what was sold only
long ago lies close together. What neither finds is said to be looked for among the first DEPTH only, until somebody
asks for the rest.
"""

import datetime
import json
from dataclasses import dataclass
from decimal import Decimal
from math import inf
from typing import Any, NamedTuple

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import Count, F, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from countries.models import Country
from sales.models import Sale
from sales.totals.feedback import Figures
from salesengine.operations.statement_timeout import StatementTimedOut, set_statement_timeout, statement_timeout

DEPTH = 200_000  # sales that are walked through: a tenth of a second
CHEAP = 50_000  # what PostgreSQL reckons for what takes about as long; the unit is its own
FEW = 3_000  # sales that can as well all be fetched, from all over the table, and sorted
MOMENT = 0.15  # seconds, for the index after a walk
SEARCH_TIMEOUT = 5  # seconds, for the index when asked for all
NEWEST_FIRST = ("-date_payment", "-id")
OLDEST_FIRST = ("date_payment", "id")
BY_INDEX = """
    WITH found AS MATERIALIZED ({found})
    SELECT (SELECT COUNT(*) FROM found),
        ARRAY(SELECT id FROM found ORDER BY date_payment {direction}, id {direction} LIMIT %s OFFSET %s)
    """

Query = tuple[str, tuple[Any, ...]]  # SQL and its parameters


@dataclass(frozen=True)
class SearchPage:
    """Some of the sales that match, in their order, and how many match: exactly, or about.

    `is_truncated` where only the first DEPTH were looked through, which are those up to `looked_until`.
    """

    ids: list[int]
    has_more: bool
    count: int
    is_exact: bool
    looked_until: datetime.datetime | None = None

    @property
    def is_truncated(self) -> bool:
        return self.looked_until is not None


class Plan(NamedTuple):
    """How many sales PostgreSQL expects, what it reckons it costs to fetch them, and whether an index leads there."""

    rows: int
    cost: float
    has_index: bool


EVERYTHING = Plan(0, inf, has_index=False)  # all sales of a period: the order is that of an index
NO_MATCHES = SearchPage([], has_more=False, count=0, is_exact=True)


def find_page(
    matching: QuerySet[Sale],
    period: QuerySet[Sale],
    *,
    size: int,
    offset: int = 0,
    newest_first: bool = True,
    thorough: bool = False,
) -> SearchPage:
    """`size` of the `matching` sales after the first `offset`; `period` is all sales of the days asked for.

    `thorough` looks through all, for as long as SEARCH_TIMEOUT. Raises StatementTimedOut.
    """
    order = NEWEST_FIRST if newest_first else OLDEST_FIRST
    try:
        found = matching.order_by().values("id", "date_payment").query.sql_with_params()
    except EmptyResultSet:
        return NO_MATCHES
    is_all = found == period.order_by().values("id", "date_payment").query.sql_with_params()
    walked = None
    try:
        with statement_timeout(SEARCH_TIMEOUT):
            plan = EVERYTHING if is_all else _plan(found)
            if (plan.rows > FEW or plan.cost > CHEAP) and not thorough:
                walked = _walk(matching.order_by(*order), period.order_by(*order), size, offset)
                if len(walked) > size or is_all:
                    count = max(plan.rows, offset + len(walked))
                    return SearchPage(walked[:size], has_more=len(walked) > size, count=count, is_exact=False)
                if not plan.has_index:
                    raise StatementTimedOut
                set_statement_timeout(MOMENT)
            return _by_index(found, size, offset, newest_first)
    except StatementTimedOut:
        if walked is None:
            raise
        return _cut(walked, period.order_by(*order), offset, plan.rows)


def _cut(walked: list[int], period: QuerySet[Sale], offset: int, rows: int) -> SearchPage:
    """What a walk found that came to its end, which may be the end of the period."""
    until = next(iter(period.values_list("date_payment", flat=True)[DEPTH - 1 : DEPTH]), None)
    is_whole = until is None and bool(walked or not offset)
    count = offset + len(walked) if is_whole else max(rows, offset + len(walked))
    return SearchPage(walked, has_more=False, count=count, is_exact=is_whole, looked_until=until)


def _plan(found: Query) -> Plan:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {found[0]}", found[1])
        (explained,) = cursor.fetchone()
    text = explained if isinstance(explained, str) else json.dumps(explained)
    [whole] = json.loads(text)
    return Plan(whole["Plan"]["Plan Rows"], whole["Plan"]["Total Cost"], has_index="Seq Scan" not in text)


def _by_index(found: Query, size: int, offset: int, newest_first: bool) -> SearchPage:
    query = BY_INDEX.format(found=found[0], direction="DESC" if newest_first else "ASC")
    with connection.cursor() as cursor:
        cursor.execute(query, [*found[1], size, offset])
        count, ids = cursor.fetchone()
    return SearchPage(ids, has_more=offset + len(ids) < count, count=count, is_exact=True)


def _walk(matching: QuerySet[Sale], period: QuerySet[Sale], size: int, offset: int) -> list[int]:
    """The ids of the page, and of one more sale if there is one; both are in the same order.

    Inside of `WITH sales AS` the name is that of the table, and after it that of its first rows.
    """
    first_sql, first_parameters = period[:DEPTH].query.sql_with_params()
    page_sql, page_parameters = matching.values("id")[offset : offset + size + 1].query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f'WITH "sales" AS ({first_sql}) {page_sql}', [*first_parameters, *page_parameters])
        return [sale_id for (sale_id,) in cursor]


def with_country_names(sales: QuerySet[Sale]) -> QuerySet[Sale]:
    """The sales with the names of their countries, or the ids of those that have none: `buyer_home`, `seller_home`.

    A join would hide the sales of countries without a name.
    """
    names = {
        f"{side}_home": Coalesce(
            Subquery(Country.objects.filter(pk=OuterRef(f"{side}_country_id")).values("country_name")[:1]),
            F(f"{side}_country_id"),
        )
        for side in ("buyer", "seller")
    }
    return sales.annotate(**names)


def fetch(ids: list[int], sales: QuerySet[Sale]) -> list[Sale]:
    """These of the sales, in the order of the ids."""
    by_id = {sale.pk: sale for sale in sales.order_by().filter(pk__in=ids)} if ids else {}
    return [by_id[sale_id] for sale_id in ids if sale_id in by_id]


def add_up(matching: QuerySet[Sale]) -> Figures:
    """How many sales match, and their revenue: reads all of them. Raises StatementTimedOut."""
    with statement_timeout(SEARCH_TIMEOUT):
        sums = matching.order_by().aggregate(number=Count("pk"), revenue=Sum("revenue"))
    return sums["number"], sums["revenue"] or Decimal(0)
