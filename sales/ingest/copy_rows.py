"""Format sales as rows for COPY in text format (PostgreSQL manual, "COPY", "Text Format")."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any

import msgspec

from sales.ingest.fields import FIELDS, SaleEvent
from salesengine.exact_json import encode_json

BLOCK = 1_000  # rows in memory at once
NULL = r"\N"
ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})

_decode_texts = msgspec.json.Decoder(list[str | None]).decode


def copy_blocks(ids: Sequence[int], events: Sequence[SaleEvent]) -> Iterator[bytes]:
    """Yield the rows of sales, first the id and then the fields, in blocks of whole rows."""
    rows = zip(ids, events, strict=True)
    while block := list(islice(rows, BLOCK)):
        columns = [_texts([event.get(name) for _, event in block], field.python_type) for name, field in FIELDS.items()]
        lines = map("\t".join, zip([str(sale_id) for sale_id, _ in block], *columns, strict=True))
        yield "\n".join((*lines, "")).encode()


def _texts(values: Sequence[Any], kind: type) -> Sequence[str]:
    """Return the values of a column as COPY reads them. To format a whole column takes a third of the time."""
    texts = FORMATS[kind](values)
    return [NULL if text is None else text for text in texts] if None in texts else texts


def _escape(values: Sequence[str | None]) -> Sequence[str | None]:
    everything = "".join(filter(None, values))
    if any(special in everything for special in "\\\t\n\r"):
        return [value and value.translate(ESCAPES) for value in values]
    return values


def _format_times(values: Sequence[datetime.datetime | None]) -> Sequence[str | None]:
    return _decode_texts(encode_json(values))  # a fifth of the time of isoformat


def _format_numbers(values: Sequence[Decimal | None]) -> Sequence[str | None]:
    return [None if value is None else str(value) for value in values]


FORMATS: Mapping[type, Any] = {str: _escape, datetime.datetime: _format_times, Decimal: _format_numbers}
