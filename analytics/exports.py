"""A result as text: a table for people, csv and json for programs. csv and json hold a few rows at a time."""

import csv
import errno
import io
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analytics.runner import Result, Row

CSV_ROWS = 500  # rows that are turned into text at a time
# What a spreadsheet may take for the beginning of a formula (OWASP, "CSV Injection").
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")
NULL = "-"  # for people, as in the Django admin

# As salesengine.renderers.encode_json, and PostgreSQL's rarer types (ranges, addresses) as text.
_encode_json = msgspec.json.Encoder(decimal_format="number", enc_hook=str).encode


def table_text(result: Result) -> Iterator[str]:
    """An aligned table, as wide as it needs to be. All its rows are in memory: the widths depend on every one."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for column in result.columns:
        table.add_column(Text(column.name), justify="right" if column.is_number else "left", no_wrap=True)
    for row in result.rows:
        table.add_row(*(Text(text_for_people(value)) for value in row))
    console = Console(file=io.StringIO(), width=1_000_000, color_system=None)
    with console.capture() as capture:
        console.print(table)
    yield from (f"{line.rstrip()}\n" for line in capture.get().splitlines())


def csv_text(result: Result, *, safe_cells: bool = False) -> Iterator[str]:
    """CSV (RFC 4180) with a header; null is an empty cell.

    `safe_cells` puts an apostrophe before text that a spreadsheet would run as a formula.
    """
    to_text = _safe_cell_text if safe_cells else cell_text
    yield _csv_lines([tuple(column.name for column in result.columns)])
    while rows := list(islice(result.rows, CSV_ROWS)):
        yield _csv_lines([tuple(map(to_text, row)) for row in rows])


def json_text(result: Result) -> Iterator[str]:
    """A JSON list of objects, one a line. Numbers are exact; NaN and Infinity, which JSON does not have, are null."""
    names = [column.name for column in result.columns]
    before = "[\n"
    for row in result.rows:
        yield before + _encode_json(dict(zip(names, map(_json_value, row), strict=True))).decode()
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


FORMATS: dict[str, Callable[[Result], Iterator[str]]] = {"table": table_text, "csv": csv_text, "json": json_text}


def cell_text(value: Any) -> str:
    """A value for programs: null empty, numbers in full and never with an exponent, timestamps as ISO 8601 in UTC."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal | float):
        return f"{Decimal(str(value)):f}"
    json = _encode_json(value)
    return str(msgspec.json.decode(json)) if json.startswith(b'"') else json.decode()


def text_for_people(value: Any) -> str:
    """The same for a screen: null is visible, and control characters are, instead of doing things to a terminal."""
    text = NULL if value is None else cell_text(value)
    return CONTROL_CHARACTER.sub(lambda match: repr(match[0])[1:-1], text)


def _safe_cell_text(value: Any) -> str:
    text = cell_text(value)
    is_formula = text.startswith(FORMULA_STARTS) and not isinstance(value, int | float | Decimal)
    return f"'{text}" if is_formula else text


def _csv_lines(rows: list[Row]) -> str:
    lines = io.StringIO(newline="")
    csv.writer(lines).writerows(rows)
    return lines.getvalue()


def _json_value(value: Any) -> Any:
    return None if isinstance(value, Decimal) and not value.is_finite() else value


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A file to write to that appears under its name whole or not at all.

    Raises OSError when it cannot be written; then, or when the body of the `with` fails, what was there before stays.
    """
    path = path.resolve()  # through a link: the file is replaced, not the link
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"there is no folder {path.parent}")
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "it is not an ordinary file")
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with draft.open("x", encoding="utf-8", newline="") as file:
        try:
            if path.exists():
                draft.chmod(path.stat().st_mode & 0o777)
            yield file
            file.flush()
            os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
