"""Types of command-line arguments, for argparse. They raise ArgumentTypeError, whose text argparse prints."""

from argparse import ArgumentTypeError


def positive_number(text: str) -> int:
    """Return a whole number of at least 1."""
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def sender_name(text: str) -> str:
    """Return the name of a sender of events: one line of text, without spaces around it."""
    if not text or text != text.strip() or not text.isprintable():
        raise ArgumentTypeError(f"{text!r} is not a name: one line of text, without spaces around it")
    return text
