"""Find the days that hold the newest or the oldest sales, so that a query can name them.

PostgreSQL plans a query for each month that it may have to read. With ten years of months this takes 8 ms, many times
as long as reading a page of sales from one of them.
"""

import datetime

from django.db import connection
from django.db.models import Q

from sales.totals.periods import between, end_of, midnight

DAY_REACHED = """
    SELECT day
    FROM (
        SELECT day, SUM(sales_count) OVER (ORDER BY day {direction} ROWS UNBOUNDED PRECEDING) AS total
        FROM feedback_daily_total
        WHERE (%(start)s::date IS NULL OR day >= %(start)s) AND (%(stop)s::date IS NULL OR day < %(stop)s)
    ) AS counted
    WHERE total >= %(number)s
    ORDER BY day {direction}
    LIMIT 1
    """


def day_reached(
    number: int,
    start: datetime.date | None = None,
    stop: datetime.date | None = None,
    newest_first: bool = True,
) -> datetime.date | None:
    """Return the payment day that ends the newest (or oldest) `number` sales of the days from `start` to before `stop`.

    None if there are fewer. Only folded sales count, so sales that were voided since the last fold count too.
    """
    query = DAY_REACHED.format(direction="DESC" if newest_first else "ASC")
    with connection.cursor() as cursor:
        cursor.execute(query, {"number": number, "start": start, "stop": stop})
        days: list[tuple[datetime.date]] = cursor.fetchall()
    return days[0][0] if days else None


def nearest_days(
    number: int,
    start: datetime.date | None = None,
    stop: datetime.date | None = None,
    newest_first: bool = True,
) -> Q | None:
    """Return the condition for the days up to which `day_reached` counts, or None."""
    day = day_reached(number, start, stop, newest_first)
    if day is None:
        return None
    return between("date_payment", midnight(day), None) if newest_first else between("date_payment", None, end_of(day))
