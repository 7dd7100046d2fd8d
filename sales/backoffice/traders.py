"""Add up what a buyer bought or a seller sold, from the sales themselves."""

import datetime
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection

from sales.totals.figures import ZERO, Figures, add_up

MONTH_LIMIT = 240  # beyond it, months without sales are left out: one wrong year would add thousands
# One scan returns the newest sales and a few hundred groups. Python adds up the groups in several ways.
HISTORY = """
    WITH found AS MATERIALIZED (
        SELECT id, date_payment, category, {own_country} AS own_country, {other_country} AS other_country, revenue
        FROM sales
        WHERE {column} = %s
    )
    SELECT date_trunc('month', date_payment, 'UTC'), category, own_country, other_country,
        COUNT(*), SUM(revenue), MIN(date_payment), MAX(date_payment),
        (SELECT ARRAY(SELECT id FROM found ORDER BY date_payment DESC, id DESC LIMIT %s))
    FROM found
    GROUP BY 1, 2, 3, 4
    """
COUNT_SALES = "(SELECT COUNT(*) FROM sales WHERE {column} = %s)"


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
    newest: list[int]  # ids of sales
    months: Breakdown  # keys are first days of months
    categories: Breakdown
    own_countries: Breakdown
    other_countries: Breakdown


def count_sales(*traders: tuple[Side, str]) -> list[int]:
    """Return the number of sales of each trader, from the indexes alone."""
    counts = ", ".join(COUNT_SALES.format(column=side.column) for side, _ in traders)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {counts}", [trader_id for _, trader_id in traders])
        return list(cursor.fetchone())


def history(side: Side, trader_id: str, newest: int) -> History | None:
    """Return a trader's history with up to `newest` ids of sales. None if there are no sales.

    The caller sets a statement timeout.
    """
    query = HISTORY.format(
        column=side.column, own_country=f"id_{side.name}_country", other_country=f"id_{side.other}_country"
    )
    with connection.cursor() as cursor:
        cursor.execute(query, [trader_id, newest])
        rows = cursor.fetchall()
    if not rows:
        return None
    [(_, (count, revenue))] = _group(rows, lambda row: None)
    return History(
        count=count,
        revenue=revenue,
        first=min(row[6] for row in rows),
        last=max(row[7] for row in rows),
        newest=rows[0][8],
        months=_with_empty_months(_group(rows, lambda row: row[0].date())),
        categories=_highest_first(_group(rows, lambda row: row[1])),
        own_countries=_highest_first(_group(rows, lambda row: row[2])),
        other_countries=_highest_first(_group(rows, lambda row: row[3])),
    )


def _group(rows: Iterable[Any], key: Callable[[Any], Any]) -> Breakdown:
    return list(add_up((key(row), row[4], row[5]) for row in rows).items())


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
