"""Periods of payment in UTC. The start is included, the stop is not, and None means no limit."""

import datetime

from django.db.models import Q

DayPeriod = tuple[datetime.date | None, datetime.date | None]
TimePeriod = tuple[datetime.datetime | None, datetime.datetime | None]


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
