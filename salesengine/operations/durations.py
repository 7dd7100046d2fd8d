"""Parse durations such as 90d, 12h, 30m, 45s or 2w."""

import re
from argparse import ArgumentTypeError
from datetime import timedelta

UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
# At most five digits, because 99999 weeks can still be added to and subtracted from today's date.
DURATION = re.compile(rf"0*([1-9][0-9]{{0,4}})([{''.join(UNITS)}])")


class InvalidDurationError(ValueError, ArgumentTypeError):
    """The text is not a duration. The message shows the format. Argparse prints the text of an ArgumentTypeError."""


def parse_duration(text: str) -> timedelta:
    """Parse `90d` (days), `12h` (hours), `30m` (minutes), `45s` (seconds) or `2w` (weeks). Usable as an argparse type.

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
