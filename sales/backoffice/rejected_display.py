"""Format rejected events for the back office."""

from contextlib import suppress

import msgspec
from django.utils.text import Truncator

from sales.ingest.rejection import REPLACEMENT
from sales.ingest.schema import EventError
from sales.models import RejectedEvent

MAX_SHOWN_BYTES = 100_000  # ten times what any valid event needs


def error_sentence(error: EventError) -> str:
    """Return an error as a sentence. Shorten the field's name, because senders may send one of any length."""
    field = str(error["pointer"]).removeprefix("/")
    return f"{Truncator(field).chars(100) or 'The event'} {error['detail']}."


def current_text(rejected: RejectedEvent) -> tuple[str, str]:
    """Return the text that a replay would use, and a note if not all of it can be shown.

    JSON is indented for reading; text that staff edited is returned as they typed it.
    """
    if rejected.edited is not None:
        return rejected.edited, ""
    content = bytes(rejected.content)
    if len(content) > MAX_SHOWN_BYTES:
        return "", f"The event has {len(content):,} bytes, too many to show. Enter a new text to replace it."
    with suppress(msgspec.DecodeError, RecursionError):  # not JSON
        content = msgspec.json.format(content, indent=2)  # changes only white space, so numbers keep their digits
    text = content.decode(errors="replace").replace("\0", REPLACEMENT).replace("\r\n", "\n")
    note = f"{REPLACEMENT} stands for bytes that are not UTF-8, or for NUL." if REPLACEMENT in text else ""
    return text, note
