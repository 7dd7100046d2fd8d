"""Format rejected events for the back office."""

from contextlib import suppress
from typing import Any

import msgspec
from django.utils.text import Truncator

from sales.ingest.rejection import REPLACEMENT
from sales.ingest.schema import EventError
from sales.models import RejectedEvent

DECODER = msgspec.json.Decoder(float_hook=str)  # keeps the digits
MAX_SHOWN_BYTES = 100_000  # ten times what any valid event needs


def error_sentence(error: EventError) -> str:
    """Return an error as a sentence. Shorten the field's name, because senders may send one of any length."""
    field = str(error["pointer"]).removeprefix("/")
    return f"{Truncator(field).chars(100) or 'The event'} {error['detail']}."


def order_and_revenue(text: bytes | str) -> tuple[str, str]:
    """Return the id of the order and the revenue in an event's text, shortened, or "" for what it does not have."""
    try:
        event = DECODER.decode(text)
    except (ValueError, RecursionError):  # not JSON, or not UTF-8
        return "", ""
    return (_shown(event, "ID_ORDER"), _shown(event, "REVENUE")) if isinstance(event, dict) else ("", "")


def _shown(event: dict[str, Any], field: str) -> str:
    value = event.get(field)
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return "" if value is None else Truncator(text.replace("\0", REPLACEMENT)).chars(40)


def current_text(rejected: RejectedEvent) -> tuple[str, str]:
    """Return the text that a replay would use, and a note if not all of it can be shown.

    JSON is indented for reading; text that staff edited is returned as they typed it.
    """
    if rejected.edited is not None:
        return rejected.edited, ""
    content = bytes(rejected.content)
    if len(content) > MAX_SHOWN_BYTES:
        return "", f"The event has {len(content):,} bytes, too many to show. Enter a new text to replace it."
    with suppress(ValueError, RecursionError):  # not JSON
        content = msgspec.json.format(content, indent=2)  # changes only white space, so numbers keep their digits
    text = content.decode(errors="replace").replace("\0", REPLACEMENT).replace("\r\n", "\n")
    note = f"{REPLACEMENT} stands for bytes that are not UTF-8, or for NUL." if REPLACEMENT in text else ""
    return text, note
