"""One value as text, the same in every format that is text."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any, Protocol

import msgspec

from analytics.running.rows import ResultColumn, Row

Texts = list[str | None]  # of the cells of a column; None is null

PIECE_ROWS = 1_000  # rows that are in memory at a time
# What a spreadsheet may take for the beginning of a formula (OWASP, "CSV Injection").
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# What does things to a terminal or a line in place of being shown: controls, line separators, changes of direction.
CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
NULL = "-"  # for people, as in the Django admin

# As salesengine.http.renderers.encode_json, and PostgreSQL's rarer types (ranges, addresses) as text.
encode_json = msgspec.json.Encoder(decimal_format="number", enc_hook=str)


class CannotEncode(ValueError):  # noqa: N818  # it says what happened
    """A value does not fit into a format; the message says which, and why."""


class Encodable(Protocol):
    """What formats need of a result: analytics.running.runner.Result has it, and Rows."""

    @property
    def columns(self) -> list[ResultColumn]: ...

    @property
    def rows(self) -> Iterator[Row]:
        """Each row once."""

    def copy_csv(self) -> Iterator[bytes] | None:
        """In place of the rows, their lines of CSV straight from PostgreSQL, where it writes what we would."""


@dataclass(frozen=True)
class Rows:
    """Columns and rows that come from no report."""

    columns: list[ResultColumn]
    rows: Iterator[Row]

    def copy_csv(self) -> None:
        return None


def pieces(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """The rows, as many at a time as are in memory."""
    while piece := list(islice(rows, PIECE_ROWS)):
        yield piece


def cell_text(value: Any) -> str:
    """A value for programs: null empty, numbers in full and never with an exponent, timestamps as ISO 8601 in UTC."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal | float):
        return f"{Decimal(str(value)):f}"
    if isinstance(value, datetime):
        return _trimmed(msgspec.to_builtins(value))
    json = encode_json.encode(value)
    return str(msgspec.json.decode(json)) if json.startswith(b'"') else json.decode()


def text_for_people(value: Any) -> str:
    """The same for a screen: null is visible, and control characters are, instead of doing things to a terminal."""
    return visible(NULL if value is None else cell_text(value))


def visible(text: str) -> str:
    """Text with its control characters written out, \\x1b say."""
    return text if text.isprintable() else CONTROL_CHARACTER.sub(lambda match: repr(match[0])[1:-1], text)


def by_column(columns: list[ResultColumn], rows: list[Row]) -> Iterator[tuple[ResultColumn, Sequence[Any]]]:
    """Each column with its values."""
    return zip(columns, zip(*rows, strict=True), strict=True)


def column_texts(column: ResultColumn, values: Sequence[Any], *, safe_cells: bool = False) -> Texts:
    """`cell_text` of the values of a column, null as None; the way is chosen once, by the column's type.

    `safe_cells` puts an apostrophe before each text that a spreadsheet would run as a formula.
    """
    texts = _TO_TEXTS.get(column.type, _texts)(values)
    return texts if column.is_number or not safe_cells else _without_formulas(texts)


def header_texts(columns: list[ResultColumn], *, safe_cells: bool = False) -> list[Texts]:
    """The names of the columns, as `column_texts` of a row above the first."""
    return [_without_formulas([column.name]) if safe_cells else [column.name] for column in columns]


def _without_formulas(texts: Iterable[str | None]) -> Texts:
    return [f"'{text}" if text and text.startswith(FORMULA_STARTS) else text for text in texts]


def _texts(values: Sequence[Any]) -> Texts:
    return [None if value is None else cell_text(value) for value in values]


def _integer_texts(values: Sequence[int | None]) -> Texts:
    return [None if value is None else str(value) for value in values]


def _numeric_texts(values: Sequence[Decimal | None]) -> Texts:
    # str is three times as fast as a format, and the same where it has no exponent.
    texts = [None if value is None else str(value) for value in values]
    return [f"{Decimal(text):f}" if text and "E" in text else text for text in texts]


def _moment_texts(values: Sequence[Any]) -> Texts:
    return [text and _trimmed(text) for text in _built_in_texts(values)]


def _trimmed(text: str) -> str:
    """A moment without the zeros at the end of its fraction, as PostgreSQL writes it."""
    moment, point, fraction = text.partition(".")
    return moment + point + fraction.rstrip("Z").rstrip("0") + "Z" * fraction.endswith("Z") if point else text


def _built_in_texts(values: Sequence[Any]) -> Texts:
    texts: Texts = msgspec.to_builtins(list(values))  # a whole column as JSON has it, ten times as fast as one by one
    return texts


# The types that results mostly have, written as `cell_text` does, and faster.
_TO_TEXTS: dict[str, Callable[[Sequence[Any]], Texts]] = {
    **dict.fromkeys(("text", "varchar", "bpchar", "name"), list),
    **dict.fromkeys(("int2", "int4", "int8"), _integer_texts),
    **dict.fromkeys(("timestamptz", "timestamp"), _moment_texts),
    **dict.fromkeys(("date", "uuid"), _built_in_texts),
    "numeric": _numeric_texts,
}
