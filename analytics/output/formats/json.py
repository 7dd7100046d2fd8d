"""JSON and NDJSON: an object for each row. Numbers are exact; NaN and Infinity, which JSON does not have, are null."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from msgspec import Raw

from analytics.output.formats.cells import Encodable, by_column, encode_json, pieces
from analytics.running.rows import Row


def encode_ndjson(result: Encodable, *, safe_cells: bool = False, title: str = "") -> Iterator[bytes]:
    """An object a line. Without rows it is empty.

    Cut off between two lines it looks complete: whoever needs to know goes by the exit code or the end of the HTTP
    answer, or takes json.
    """
    for rows in pieces(result.rows):
        yield _lines(result, rows)


def encode_json_list(result: Encodable, *, safe_cells: bool = False, title: str = "") -> Iterator[bytes]:
    """A list of objects, one a line. Its closing bracket tells that it is complete."""
    before = b"[\n"
    for lines in encode_ndjson(result):
        # Each newline is the end of an object: inside of one JSON writes \n.
        yield before + lines.removesuffix(b"\n").replace(b"\n", b",\n")
        before = b",\n"
    yield b"[]\n" if before == b"[\n" else b"\n]\n"


def _lines(result: Encodable, rows: list[Row]) -> bytes:
    names = [column.name for column in result.columns]
    columns = [
        list(map(clean, values)) if (clean := _clean(column.type)) else values
        for column, values in by_column(result.columns, rows)
    ]
    return encode_json.encode_lines([dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)])


# Values of these types can be written as they are.
_PLAIN_TYPES = {"text", "varchar", "bpchar", "name", "int2", "int4", "int8", "float4", "float8"} | {
    "timestamptz",
    "timestamp",
    "date",
    "bool",
    "uuid",
}


def _clean(type_name: str) -> Callable[[Any], Any] | None:
    """What a column's values go through; None for nothing."""
    if type_name in _PLAIN_TYPES:
        return None
    if type_name in ("json", "jsonb"):
        return _raw
    return _finite if type_name == "numeric" else _json_value


def _raw(value: str | None) -> Raw | None:
    """PostgreSQL's JSON as it stands, but on one line: between its tokens a line may end, inside of them none can."""
    return value if value is None else Raw(value.replace("\r", " ").replace("\n", " ").encode())


def _finite(value: Decimal | None) -> Decimal | None:
    return value if value is None or value.is_finite() else None


def _json_value(value: Any) -> Any:
    """A value without NaN and Infinity, in lists and objects too. The encoder sees to those of float."""
    if isinstance(value, Decimal):
        return _finite(value)
    if isinstance(value, list):
        return list(map(_json_value, value))
    if isinstance(value, dict):
        return {key: _json_value(item) for key, item in value.items()}
    return value
