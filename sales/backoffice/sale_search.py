"""Find one page of the sales that match a filter, fast for any number of sales and of matches.

No index lists the matches of every filter in the order of payment, and one index for each filter would slow down ingest
by a seventh. So there are two ways to find a page:

- Fetch and sort: fetch all matches through the filter's own index, and sort them. This is fast if there are few
  matches. PostgreSQL's planner estimates what it costs.
- Scan: read the sales in the order of payment and keep the matches, until the page is full or SCAN_LIMIT sales are
  read. This is fast if many sales match.

If a scan does not fill the page, fetch and sort is tried after all, for RETRY_TIMEOUT: the planner overestimates its
cost for old sales, which lie close together. If that times out too, the page is truncated: it has the matches among the
scanned sales only. A thorough search has the time to fetch and sort.
"""

import datetime
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from django.core.exceptions import EmptyResultSet
from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from countries.models import Country
from sales.models import Sale
from sales.totals.figures import Figures
from sales.totals.periods import DayPeriod, nearest_days
from salesengine.distribution import is_distributed
from salesengine.operations.statement_timeout import StatementTimedOut, statement_timeout

SCAN_LIMIT = 200_000  # sales that a scan reads in about 0.1 s
COST_LIMIT = 50_000  # for fetch and sort, in the planner's cost units: about 0.1 s
MATCH_LIMIT = 3_000  # matches that are always quick to fetch and sort, wherever they lie in the table
RETRY_TIMEOUT = 0.15  # seconds
SEARCH_TIMEOUT = 5  # seconds
SALE_ID = re.compile("[0-9]{1,18}")
NEWEST_FIRST = ("-date_payment", "-id")
OLDEST_FIRST = ("date_payment", "id")
FETCH_AND_SORT = """
    WITH found AS MATERIALIZED ({matching})
    SELECT (SELECT COUNT(*) FROM found),
        ARRAY(SELECT id FROM found ORDER BY date_payment {direction}, id {direction} LIMIT %s OFFSET %s),
        ARRAY(SELECT date_payment FROM found ORDER BY date_payment {direction}, id {direction} LIMIT %s OFFSET %s)
    """

SqlQuery = tuple[str, tuple[Any, ...]]  # SQL and its parameters


class SaleKey(NamedTuple):
    """The primary key of a sale. The date tells in which month's partition the sale is."""

    id: int
    date_payment: datetime.datetime


@dataclass(frozen=True)
class SearchPage:
    """The keys of one page of sales, in order, and the number of all matches, which may be an estimate.

    `scanned_until` is set if the page is truncated: the date of payment of the last sale that was read.
    """

    keys: list[SaleKey]
    has_more: bool
    count: int
    is_exact: bool  # whether `count` is
    scanned_until: datetime.datetime | None = None

    @property
    def is_truncated(self) -> bool:
        return self.scanned_until is not None


class Plan(NamedTuple):
    """The planner's estimate of the matches, of the cost to fetch them, and whether indexes help."""

    rows: int
    cost: float
    has_index: bool


THOROUGH_PLAN = Plan(0, 0, has_index=True)  # always fetch and sort
NO_MATCHES = SearchPage([], has_more=False, count=0, is_exact=True)


def find_page(
    matching: QuerySet[Sale],
    period: QuerySet[Sale],
    *,
    days: DayPeriod = (None, None),
    size: int,
    offset: int = 0,
    newest_first: bool = True,
    thorough: bool = False,
) -> SearchPage:
    """Return `size` of the `matching` sales after the first `offset`. Raises StatementTimedOut.

    `period` has all sales of the same `days`. `thorough` searches all of them, for up to SEARCH_TIMEOUT.
    """
    matching, period = _in_order(matching, newest_first), _in_order(period, newest_first)
    try:
        query = _sql(matching)
    except EmptyResultSet:
        return NO_MATCHES
    if query == _sql(period) and not thorough:
        return _unfiltered_page(period, days, size, offset, newest_first)
    with statement_timeout(SEARCH_TIMEOUT):
        plan = THOROUGH_PLAN if thorough else _plan(query)
        if plan.rows <= MATCH_LIMIT and plan.cost <= COST_LIMIT:
            return _fetch_and_sort(query, size, offset, newest_first)
        near = nearest_days(SCAN_LIMIT, *days, newest_first) or Q()
        nearest = period.filter(near) if near else period
        if is_distributed(DEFAULT_DB_ALIAS):  # each node filters its own sales, instead of sending all of them
            scanned = _keys(matching.filter(near), size, offset)
        else:
            scanned = _scan(matching, nearest, size, offset)
    if len(scanned) > size:
        count = max(plan.rows, offset + size + 1)
        return SearchPage(scanned[:size], has_more=True, count=count, is_exact=False)
    if plan.has_index:
        with suppress(StatementTimedOut), statement_timeout(RETRY_TIMEOUT):
            return _fetch_and_sort(query, size, offset, newest_first)
    return _page_of_a_scan(scanned, nearest, offset, plan.rows, is_whole=nearest is period)


def _unfiltered_page(period: QuerySet[Sale], days: DayPeriod, size: int, offset: int, newest_first: bool) -> SearchPage:
    with statement_timeout(SEARCH_TIMEOUT):
        near = nearest_days(offset + size + 1, *days, newest_first)
        keys = _keys(period.filter(near), size, offset) if near else []
        if len(keys) <= size:  # voided sales may be missing in these days, so look in all
            keys = _keys(period, size, offset)
    return SearchPage(keys[:size], has_more=len(keys) > size, count=offset + len(keys), is_exact=False)


def _keys(sales: QuerySet[Sale], size: int, offset: int) -> list[SaleKey]:
    """Return the keys of the page, and of the next sale if there is one."""
    return [SaleKey(*row) for row in sales.values_list("id", "date_payment")[offset : offset + size + 1]]


def _in_order(sales: QuerySet[Sale], newest_first: bool) -> QuerySet[Sale]:
    return sales.order_by(*(NEWEST_FIRST if newest_first else OLDEST_FIRST))


def _sql(sales: QuerySet[Sale]) -> SqlQuery:
    query: SqlQuery = sales.order_by().values("id", "date_payment").query.sql_with_params()
    return query


def _page_of_a_scan(
    scanned: list[SaleKey], searched: QuerySet[Sale], offset: int, estimate: int, *, is_whole: bool
) -> SearchPage:
    """Return the last page of a scan, which is truncated unless the scan reached the end of the period."""
    dates = searched.values_list("date_payment", flat=True)
    until = None
    if not is_distributed(DEFAULT_DB_ALIAS):  # a cluster searches all sales of these days
        until = next(iter(dates[SCAN_LIMIT - 1 : SCAN_LIMIT]), None)
    if until is None and not is_whole:
        until = dates.last()
    is_complete = until is None and bool(scanned or not offset)
    count = offset + len(scanned) if is_complete else max(estimate, offset + len(scanned))
    return SearchPage(scanned, has_more=False, count=count, is_exact=is_complete, scanned_until=until)


def _plan(query: SqlQuery) -> Plan:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {query[0]}", query[1])
        (explained,) = cursor.fetchone()
    return _read_plan(explained[0]["Plan"])


def _read_plan(plan: dict[str, Any]) -> Plan:
    shards = 1
    if "Distributed Query" in plan:  # a cluster explains one of the shards, and guesses at the rest
        job = plan["Distributed Query"]["Job"]
        if not job["Tasks"]:  # nothing can match
            return THOROUGH_PLAN
        shards, plan = job["Task Count"], job["Tasks"][0]["Remote Plan"][0][0]["Plan"]
    rows, cost = plan["Plan Rows"] * shards, plan["Total Cost"] * shards
    return Plan(rows, cost, has_index=_cost_of_reading_all(plan) * shards <= COST_LIMIT)


def _cost_of_reading_all(plan: dict[str, Any]) -> float:
    """Return the cost of the steps that read a whole partition. Small ones are read so even where an index helps."""
    if plan["Node Type"] == "Seq Scan":
        return float(plan["Total Cost"])
    return sum(map(_cost_of_reading_all, plan.get("Plans", ())))


def _fetch_and_sort(query: SqlQuery, size: int, offset: int, newest_first: bool) -> SearchPage:
    matching, parameters = query
    statement = FETCH_AND_SORT.format(matching=matching, direction="DESC" if newest_first else "ASC")
    with connection.cursor() as cursor:
        cursor.execute(statement, [*parameters, size, offset, size, offset])
        count, *columns = cursor.fetchone()
    keys = list(map(SaleKey, *columns))
    return SearchPage(keys, has_more=offset + len(keys) < count, count=count, is_exact=True)


def _scan(matching: QuerySet[Sale], period: QuerySet[Sale], size: int, offset: int) -> list[SaleKey]:
    """Return the keys of the page, and of the next sale if there is one. Both querysets have the same order.

    The statement names the first SCAN_LIMIT sales of the period `sales`, so that the filter's SQL reads only these.
    """
    first_sql, first_parameters = period[:SCAN_LIMIT].query.sql_with_params()
    page = matching.values("id", "date_payment")[offset : offset + size + 1]
    page_sql, page_parameters = page.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f'WITH "sales" AS ({first_sql}) {page_sql}', [*first_parameters, *page_parameters])
        return [SaleKey(*row) for row in cursor]


def has_id(text: str, fields: Sequence[str]) -> Q:
    """Return the condition for the sales that have this text in one of the fields, or as their own id."""
    names = (*fields, "pk") if SALE_ID.fullmatch(text) else fields
    return Q(*((name, text) for name in names), _connector=Q.OR)


def with_country_names(sales: QuerySet[Sale]) -> QuerySet[Sale]:
    """Add `buyer_country_name` and `seller_country_name`, which fall back to the country's id.

    Subqueries, because a join would hide the sales of unknown countries.
    """
    names = {
        f"{side}_country_name": Coalesce(
            Subquery(Country.objects.filter(pk=OuterRef(f"{side}_country_id")).values("country_name")[:1]),
            F(f"{side}_country_id"),
        )
        for side in ("buyer", "seller")
    }
    return sales.annotate(**names)


def fetch_in_order(keys: list[SaleKey]) -> list[Sale]:
    """Return the sales with these keys, in their order, with their countries' names."""
    if not keys:
        return []
    ids, dates = zip(*keys, strict=True)
    sales = with_country_names(Sale.objects.filter(pk__in=ids, date_payment__in=set(dates)))
    by_id = {sale.pk: sale for sale in sales}
    return [by_id[key.id] for key in keys if key.id in by_id]


def count_and_sum(matching: QuerySet[Sale]) -> Figures:
    """Return the exact number and revenue of the matching sales, by reading all of them. Raises StatementTimedOut."""
    with statement_timeout(SEARCH_TIMEOUT):
        sums = matching.order_by().aggregate(number=Count("pk"), revenue=Sum("revenue"))
    return sums["number"], sums["revenue"] or Decimal(0)
