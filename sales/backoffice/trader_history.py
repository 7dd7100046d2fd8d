"""Add up what a buyer bought or a seller sold, from the sales themselves."""

import datetime
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection

from sales.backoffice.sale_search import SaleKey
from sales.totals.figures import ZERO, Figures, add_up

MONTH_LIMIT = 240  # beyond it, months without sales are left out: one wrong year would add thousands
# One scan returns the number of sales, and the newest sales and a few hundred groups unless the sales are too many.
# Python adds up the groups in several ways. The first row has the keys of the newest sales.
HISTORY = """
    WITH found AS MATERIALIZED (
        SELECT id, date_payment, category, {own_country} AS own_country, {other_country} AS other_country, revenue
        FROM sales
        WHERE {column} = %(trader)s
        LIMIT %(limit)s + 1
    ), newest AS (
        SELECT id, date_payment FROM found ORDER BY date_payment DESC, id DESC LIMIT %(newest)s
    )
    SELECT number, date_trunc('month', date_payment, 'UTC'), category, own_country, other_country,
        COUNT(*), SUM(revenue), MIN(date_payment), MAX(date_payment),
        CASE WHEN ROW_NUMBER() OVER () = 1 THEN ARRAY(SELECT id FROM newest ORDER BY date_payment DESC, id DESC) END,
        CASE WHEN ROW_NUMBER() OVER () = 1 THEN
            ARRAY(SELECT date_payment FROM newest ORDER BY date_payment DESC, id DESC)
        END
    FROM (SELECT COUNT(*) AS number FROM found) AS counted
    LEFT JOIN found ON number <= coalesce(%(limit)s, number)
    GROUP BY 1, 2, 3, 4, 5
    """


class Side(NamedTuple):
    """One of the two sides of a trade."""

    name: str
    other: str

    @property
    def column(self) -> str:
        return f"id_{self.name}"


BUYER = Side("buyer", "seller")
SELLER = Side("seller", "buyer")

Breakdown = list[tuple[Any, Figures]]  # key of a group, and the group's figures


@dataclass(frozen=True)
class History:
    """All sales of one buyer or seller.

    Months are in order and include months without sales. The other breakdowns have the highest revenue first.
    """

    count: int
    revenue: Decimal
    first: datetime.datetime  # payment
    last: datetime.datetime  # payment
    newest: list[SaleKey]
    months: Breakdown  # keys are first days of months
    categories: Breakdown
    own_countries: Breakdown
    other_countries: Breakdown


def history(side: Side, trader_id: str, newest: int, limit: int | None = None) -> tuple[int, History | None]:
    """Return the number of a trader's sales, and their history with the keys of up to `newest` sales.

    If there are more than `limit` sales, the number is `limit` + 1, and the history is None. Without sales it is None
    too. The caller sets a statement timeout.
    """
    query = HISTORY.format(
        column=side.column, own_country=f"id_{side.name}_country", other_country=f"id_{side.other}_country"
    )
    with connection.cursor() as cursor:
        cursor.execute(query, {"trader": trader_id, "limit": limit, "newest": newest})
        rows = cursor.fetchall()
    number = rows[0][0]
    if not number or (limit is not None and number > limit):
        return number, None
    [(_, (count, revenue))] = _group(rows, lambda row: None)
    return number, History(
        count=count,
        revenue=revenue,
        first=min(row[7] for row in rows),
        last=max(row[8] for row in rows),
        newest=next(list(map(SaleKey, row[9], row[10])) for row in rows if row[9]),
        months=_with_empty_months(_group(rows, lambda row: row[1].date())),
        categories=_highest_first(_group(rows, lambda row: row[2])),
        own_countries=_highest_first(_group(rows, lambda row: row[3])),
        other_countries=_highest_first(_group(rows, lambda row: row[4])),
    )


def _group(rows: Iterable[Any], key: Callable[[Any], Any]) -> Breakdown:
    return list(add_up((key(row), row[5], row[6]) for row in rows).items())


def _highest_first(groups: Breakdown) -> Breakdown:
    return sorted(groups, key=lambda group: (-group[1][1], group[0] or ""))


def _with_empty_months(groups: Breakdown) -> Breakdown:
    by_month = dict(groups)
    month, last = min(by_month), max(by_month)
    months = [month]
    while month < last and len(months) < MONTH_LIMIT:
        month = (month + datetime.timedelta(days=31)).replace(day=1)
        months.append(month)
    return [(month, by_month.get(month, ZERO)) for month in months] if month >= last else sorted(groups)
