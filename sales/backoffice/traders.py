"""What a buyer bought and a seller sold, added up from the sales themselves."""

import datetime
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection

from sales.totals.feedback import Figures, add_up

# One scan finds the newest sales and a few hundred groups; what is shown is added up from these.
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
COUNT = "(SELECT COUNT(*) FROM sales WHERE {column} = %s)"


class Side(NamedTuple):
    """Buyers, or sellers."""

    name: str
    other: str

    @property
    def column(self) -> str:
        return f"id_{self.name}"


BUYER = Side("buyer", "seller")
SELLER = Side("seller", "buyer")

Breakdown = list[tuple[Any, Figures]]  # what it is of, and its figures


@dataclass(frozen=True)
class History:
    """Number and revenue of all sales of one buyer or seller, the first and the last payment, the newest, and parts.

    Months are in their order, each of them is there; all else is in that of the revenue, the highest first.
    """

    count: int
    revenue: Decimal
    first: datetime.datetime
    last: datetime.datetime
    newest: list[int]  # ids
    months: Breakdown  # by their first days
    categories: Breakdown
    own_countries: Breakdown
    other_countries: Breakdown


def count_sales(*people: tuple[Side, str]) -> list[int]:
    """How many sales each has, from the indexes alone."""
    counts = ", ".join(COUNT.format(column=side.column) for side, _ in people)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {counts}", [trader_id for _, trader_id in people])
        return list(cursor.fetchone())


def history(side: Side, trader_id: str, newest: int) -> History | None:
    """All about one, with the ids of so many sales; None for one without any. The caller limits the time."""
    query = HISTORY.format(
        column=side.column, own_country=f"id_{side.name}_country", other_country=f"id_{side.other}_country"
    )
    with connection.cursor() as cursor:
        cursor.execute(query, [trader_id, newest])
        rows = cursor.fetchall()
    if not rows:
        return None
    [(_, (count, revenue))] = _by(rows, lambda row: None)
    return History(
        count=count,
        revenue=revenue,
        first=min(row[6] for row in rows),
        last=max(row[7] for row in rows),
        newest=rows[0][8],
        months=_every_month(_by(rows, lambda row: row[0].date())),
        categories=_largest_first(_by(rows, lambda row: row[1])),
        own_countries=_largest_first(_by(rows, lambda row: row[2])),
        other_countries=_largest_first(_by(rows, lambda row: row[3])),
    )


def _by(rows: Iterable[Any], key: Callable[[Any], Any]) -> Breakdown:
    return list(add_up((key(row), row[4], row[5]) for row in rows).items())


def _largest_first(parts: Breakdown) -> Breakdown:
    return sorted(parts, key=lambda part: (-part[1][1], part[0] or ""))


def _every_month(parts: Breakdown) -> Breakdown:
    known = dict(parts)
    month, last = min(known), max(known)
    months = [month]
    while month < last and len(months) < MOST_MONTHS:
        month = next_month(month)
        months.append(month)
    return [(month, known.get(month, (0, Decimal(0)))) for month in months] if month >= last else sorted(parts)


MOST_MONTHS = 240  # a wrong year would make a chart of a thousand years otherwise


def next_month(first_day: datetime.date) -> datetime.date:
    return (first_day + datetime.timedelta(days=31)).replace(day=1)
