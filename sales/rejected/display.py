"""Show rejected events to staff."""

from contextlib import suppress

import msgspec
from django.utils.text import Truncator

from sales.ingest.rejection import REPLACEMENT
from sales.ingest.schema import EventError
from sales.models import RejectedEvent

LONGEST_SHOWN = 100_000  # bytes; no event needs a tenth of it


def in_words(error: EventError) -> str:
    """An error as a sentence about the event; names of fields may be of any length, as they are the sender's."""
    field = str(error["pointer"]).removeprefix("/")
    return f"{Truncator(field).chars(100) or 'The event'} {error['detail']}."


def current_text(rejected: RejectedEvent) -> tuple[str, str]:
    """The event as it would be replayed, laid out for reading if it is JSON, and a note on what cannot be shown.

    Mended text is shown as it was typed.
    """
    if rejected.mended is not None:
        return rejected.mended, ""
    content = bytes(rejected.content)
    if len(content) > LONGEST_SHOWN:
        return "", f"It came with {len(content):,} bytes, too many to show. Write it anew."
    with suppress(msgspec.DecodeError, RecursionError):  # it is no JSON
        content = msgspec.json.format(content, indent=2)  # which moves spaces alone: numbers stay as they are typed
    text = content.decode(errors="replace").replace("\0", REPLACEMENT).replace("\r\n", "\n")
    note = f"{REPLACEMENT} stands for what is no character in UTF-8, or NUL." if REPLACEMENT in text else ""
    return text, note
