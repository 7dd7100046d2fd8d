"""Read many events fast: types are checked while JSON is decoded, dates and revenues column by column.

This accepts only what `sales.ingest.schema` accepts, with the same result. For anything else, and for JSON in which a
key might be repeated, it returns None, and `schema` reads the values one by one and describes their errors.
"""

import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from typing import Annotated, Any, Literal, NotRequired

import msgspec
from typing_extensions import TypedDict

from sales.ingest.fields import FIELDS, EventField, SaleEvent, check_payment_date, parse_revenue, parse_timestamp

USUAL_TIMES = re.compile(
    r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|\+00:00)\n)*"
)
USUAL_REVENUES = re.compile(r"(?:(?:-(?![0.]+\n))?[0-9]{1,15}(?:\.[0-9]{1,20})?\n)*")  # none is a negative zero
JSON_NUMBERS = {str, int, Decimal}  # the Python types of what may be a revenue
NOT_VALID = (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)


def read_valid_list(body: bytes) -> list[SaleEvent] | None:
    """Return the events of a JSON list, or None if it may contain anything but valid events."""
    return _read(body, _decode_list, body)


def read_each_valid(texts: Sequence[bytes]) -> list[SaleEvent] | None:
    """Return the event of each JSON text, or None if there may be anything but valid events."""
    return _read(texts, _decode_each, b"\n".join(texts))


def _read(source: Any, decode: Callable[[Any], list[Any]], text: bytes) -> list[SaleEvent] | None:
    try:
        events = decode(source)
        columns = {name: [event[name] for event in events] for name in CHECKED}
        if not _has_each_key_once(text, events):
            return None
        for name, values in columns.items():
            for event, value in zip(events, CHECKED[name](values), strict=True):
                event[name] = value
    except NOT_VALID:
        return None
    return events


def _has_each_key_once(text: bytes, events: Sequence[Any]) -> bool:
    """Return whether the text has exactly the keys of the events, and no NUL.

    A decoder ignores unknown keys and all but the last of repeated keys. Each would add at least two quotes.
    """
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
        if b"\\u0000" in text:
            return False
    keys = sum(map(len, events))
    strings = list(map(type, chain.from_iterable(map(dict.values, events)))).count(str)
    return text.count(b'"') == 2 * (keys + strings)


def _check_times(values: Sequence[Any]) -> Sequence[datetime.datetime]:
    if not USUAL_TIMES.fullmatch("\n".join((*values, ""))):
        return [check_payment_date(parse_timestamp(value)) for value in values]
    times = list(map(datetime.datetime.fromisoformat, values))
    for time in (min(times), max(times)) if times else ():
        check_payment_date(time)
    return times


def _check_revenues(values: Sequence[Any]) -> Sequence[Decimal]:
    if not set(map(type, values)) <= JSON_NUMBERS:
        raise ValueError("not numbers")
    texts = list(map(str, values))
    if USUAL_REVENUES.fullmatch("\n".join((*texts, ""))):
        return list(map(Decimal, texts))
    return list(map(parse_revenue, values))


def _decoded_type(field: EventField) -> Any:
    """Return the type that msgspec checks, with all rules of the field unless it is one of CHECKED."""
    if field.name in CHECKED:
        return str if field.python_type is datetime.datetime else Any
    text = Annotated[str, msgspec.Meta(min_length=1, max_length=field.max_length)]
    kind: Any = Literal[field.choices] if field.choices else text
    return kind if field.is_required else NotRequired[kind | None]


CHECKED: Mapping[str, Callable[[Sequence[Any]], Sequence[Any]]] = {
    "DATE_PAYMENT": _check_times,
    "REVENUE": _check_revenues,
}
_EVENT: Any = TypedDict("_EVENT", {name: _decoded_type(field) for name, field in FIELDS.items()})  # type: ignore[misc]
_decode_event = msgspec.json.Decoder(_EVENT, float_hook=Decimal).decode
_decode_list: Callable[[bytes], list[Any]] = msgspec.json.Decoder(list[_EVENT], float_hook=Decimal).decode


def _decode_each(texts: Sequence[bytes]) -> list[Any]:
    return list(map(_decode_event, texts))
