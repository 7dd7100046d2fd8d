"""Encode JSON and NDJSON, with an object for each row.

Numbers are exact. NaN and Infinity, which JSON lacks, are null.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from msgspec import Raw

from analytics.output.formats.cells import Encodable, by_column, json_encoder, pieces
from analytics.running.rows import Row


def encode_ndjson(result: Encodable, *, safe_cells: bool = False, title: str = "") -> Iterator[bytes]:
    """Yield one object per line, and nothing if there are no rows.

    A file that was cut off between two lines looks complete. Check the exit code or the end of the HTTP response, or
    use json.
    """
    for rows in pieces(result.rows):
        yield _lines(result, rows)


def encode_json_list(result: Encodable, *, safe_cells: bool = False, title: str = "") -> Iterator[bytes]:
    """Yield a list with one object per line. The closing bracket shows that it is complete."""
    before = b"[\n"
    for lines in encode_ndjson(result):
        # Each newline ends an object, because inside an object JSON writes \n.
        yield before + lines.removesuffix(b"\n").replace(b"\n", b",\n")
        before = b",\n"
    yield b"[]\n" if before == b"[\n" else b"\n]\n"


def _lines(result: Encodable, rows: list[Row]) -> bytes:
    names = [column.name for column in result.columns]
    columns = [
        list(map(clean, values)) if (clean := _clean(column.type)) else values
        for column, values in by_column(result.columns, rows)
    ]
    return json_encoder.encode_lines([dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)])


# Values of these types need no cleaning.
_PLAIN_TYPES = {"text", "varchar", "bpchar", "name", "int2", "int4", "int8", "float4", "float8"} | {
    "timestamptz",
    "timestamp",
    "date",
    "bool",
    "uuid",
}


def _clean(type_name: str) -> Callable[[Any], Any] | None:
    """Return the function that cleans a column's values, or None if they need no cleaning."""
    if type_name in _PLAIN_TYPES:
        return None
    if type_name in ("json", "jsonb"):
        return _raw
    return _finite if type_name == "numeric" else _json_value


def _raw(value: str | None) -> Raw | None:
    """Return PostgreSQL's JSON unchanged, but on one line. Tokens never contain line ends, so only spaces change."""
    return value if value is None else Raw(value.replace("\r", " ").replace("\n", " ").encode())


def _finite(value: Decimal | None) -> Decimal | None:
    return value if value is None or value.is_finite() else None


def _json_value(value: Any) -> Any:
    """Return a value with None for NaN and Infinity, also inside lists and objects. The encoder does it for floats."""
    if isinstance(value, Decimal):
        return _finite(value)
    if isinstance(value, list):
        return list(map(_json_value, value))
    if isinstance(value, dict):
        return {key: _json_value(item) for key, item in value.items()}
    return value
