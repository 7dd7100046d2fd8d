"""Periods of payment in UTC. The start is included, the stop is not, and None means no limit."""

import datetime

from django.db import connection
from django.db.models import Q

DayPeriod = tuple[datetime.date | None, datetime.date | None]
TimePeriod = tuple[datetime.datetime | None, datetime.datetime | None]

# PostgreSQL plans a query for each month that it may have to read. With ten years of months this takes 8 ms, many times
# as long as reading a page of sales from one of them. So queries name the days that hold the newest or oldest sales.
# The totals count archived sales too, so the days of archived months do not count here.
DAY_REACHED = """
    SELECT day
    FROM (
        SELECT day, SUM(sales_count) OVER (ORDER BY day {direction} ROWS UNBOUNDED PRECEDING) AS total
        FROM feedback_daily_total
        WHERE (%(start)s::date IS NULL OR day >= %(start)s) AND (%(stop)s::date IS NULL OR day < %(stop)s)
            AND date_trunc('month', day::timestamp)::date NOT IN (SELECT month FROM archived_month)
    ) AS counted
    WHERE total >= %(number)s
    ORDER BY day {direction}
    LIMIT 1
    """


def between(field: str, start: datetime.date | None, stop: datetime.date | None) -> Q:
    """Return the condition that a field of days or timestamps lies in a period."""
    limits = {f"{field}__gte": start, f"{field}__lt": stop}
    return Q(**{lookup: limit for lookup, limit in limits.items() if limit is not None})


def split_period(
    start: datetime.datetime | None, stop: datetime.datetime | None
) -> tuple[DayPeriod | None, list[TimePeriod]]:
    """Split a period into its whole days (None if it has none) and the incomplete days at its edges."""
    first_day = start and start.date()
    last_day = stop and stop.date()  # not included
    if start and first_day and start != midnight(first_day):
        if first_day in (last_day, datetime.date.max):
            return None, [(start, stop)]
        first_day += datetime.timedelta(days=1)
    edges: list[TimePeriod] = []
    if start and first_day and start != midnight(first_day):
        edges.append((start, midnight(first_day)))
    if stop and last_day and stop != midnight(last_day):
        edges.append((midnight(last_day), stop))
    return (None if first_day and first_day == last_day else (first_day, last_day)), edges


def midnight(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time.min, datetime.UTC)


def end_of(day: datetime.date) -> datetime.datetime | None:
    """Return the midnight after a day. None, as no limit, after the last day that Python has."""
    return midnight(day + datetime.timedelta(days=1)) if day < datetime.date.max else None


def day_reached(
    number: int,
    start: datetime.date | None = None,
    stop: datetime.date | None = None,
    newest_first: bool = True,
) -> datetime.date | None:
    """Return the payment day that ends the newest (or oldest) `number` sales of the days from `start` to before `stop`.

    None if there are fewer. Only folded sales count, so sales that were voided since the last fold count too. The days
    of archived months do not count.
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
