"""Durations as people type them: 90d, 12h, 30m, 45s, 2w."""

import re
from argparse import ArgumentTypeError
from datetime import timedelta

UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
# Five digits: the longest, 99999 weeks, can still be added to today's date, and taken from it.
DURATION = re.compile(rf"0*([1-9][0-9]{{0,4}})([{''.join(UNITS)}])")


class InvalidDurationError(ValueError, ArgumentTypeError):
    """The text is no duration; the message says what one looks like. As argparse's own error too, it shows that."""


def parse_duration(text: str) -> timedelta:
    """`90d` (days), `12h` (hours), `30m` (minutes), `45s` (seconds) or `2w` (weeks); an argparse type.

    Raises InvalidDurationError.
    """
    match = DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise InvalidDurationError(
            f"“{text}” is not a duration: write a whole number from 1 to 99999 and a unit, such as 90d (days), "
            "12h (hours), 30m (minutes), 45s (seconds) or 2w (weeks)."
        )
    number, unit = match.groups()
    return timedelta(**{UNITS[unit]: int(number)})
