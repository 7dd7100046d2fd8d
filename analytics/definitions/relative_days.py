"""Relative days (UTC): "yesterday", "30 days ago", "first day of last month"."""

import datetime
import re

PHRASES = "today, yesterday, tomorrow, 30 days ago (days, weeks, months, years), first day of last month (first or last; this, last or next; week, month, quarter, year)"  # noqa: E501

NAMED = {"yesterday": -1, "today": 0, "tomorrow": 1}
AGO = re.compile(r"(?P<number>[0-9]{1,4}) (?P<unit>day|week|month|year)s? ago")
EDGE = re.compile(r"(?P<edge>first|last) day of (?P<which>last|this|next) (?P<unit>week|month|quarter|year)")
STEPS = {"last": -1, "this": 0, "next": 1}
MONTHS = {"month": 1, "quarter": 3, "year": 12}
DAY = datetime.timedelta(days=1)


def parse_relative_day(text: str, today: datetime.date | None = None) -> datetime.date | None:
    """Return the day that a phrase means, or None for other text. Weeks begin on Monday (ISO 8601).

    One month before 31 March is the last day of February. Raises ValueError outside of the years 1 to 9999.
    """
    today = today or datetime.datetime.now(datetime.UTC).date()
    phrase = " ".join(text.lower().split())
    try:
        if phrase in NAMED:
            return today + NAMED[phrase] * DAY
        if match := AGO.fullmatch(phrase):
            return _ago(today, int(match["number"]), match["unit"])
        if match := EDGE.fullmatch(phrase):
            first, following = _period(today, match["unit"], STEPS[match["which"]])
            return first if match["edge"] == "first" else following - DAY
    except (OverflowError, ValueError):
        raise ValueError("must be in the years 1 to 9999") from None
    return None


def _ago(today: datetime.date, number: int, unit: str) -> datetime.date:
    if unit in ("day", "week"):
        return today - number * (7 if unit == "week" else 1) * DAY
    first = _add_months(today.replace(day=1), -number * MONTHS[unit])
    return min(first + (today.day - 1) * DAY, _add_months(first, 1) - DAY)


def _period(today: datetime.date, unit: str, step: int) -> tuple[datetime.date, datetime.date]:
    """Return the first day of a week, month, quarter or year, and the first day of the following one."""
    if unit == "week":
        monday = today + (7 * step - today.weekday()) * DAY
        return monday, monday + 7 * DAY
    length = MONTHS[unit]
    first = today.replace(month=(today.month - 1) // length * length + 1, day=1)
    return _add_months(first, step * length), _add_months(first, (step + 1) * length)


def _add_months(first: datetime.date, number: int) -> datetime.date:
    year, month = divmod(first.year * 12 + first.month - 1 + number, 12)
    return datetime.date(year, month + 1, 1)
