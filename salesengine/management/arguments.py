"""Types of command-line arguments, for argparse. They raise ArgumentTypeError, whose text argparse prints."""

import sys
from argparse import ArgumentTypeError

MAX_DIGITS = 18  # a larger number may not fit into PostgreSQL's bigint


def positive_number(text: str) -> int:
    """Return a whole number of at least 1 and at most 18 digits."""
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    if len(text) > MAX_DIGITS:
        raise ArgumentTypeError(f"{text!r} has more than {MAX_DIGITS} digits")
    return int(text)


def input_file(text: str) -> str:
    """Return the name of a file, or "-" for standard input, which must be open."""
    if text == "-" and sys.stdin is None:
        raise ArgumentTypeError("standard input is closed")
    return text


def sender_name(text: str) -> str:
    """Return the name of a sender of events: one line of text, without spaces around it."""
    if not text or text != text.strip() or not text.isprintable():
        raise ArgumentTypeError(f"{text!r} is not a name: one line of text, without spaces around it")
    return text
