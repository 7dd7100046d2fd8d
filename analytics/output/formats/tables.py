"""Tables for people: aligned for a terminal, and Markdown for a page."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from rich.cells import cell_len

from analytics.output.formats.cells import (
    CONTROL_CHARACTER,
    NULL,
    Encodable,
    Texts,
    by_column,
    column_texts,
    header_texts,
    pieces,
    visible,
)
from analytics.running.rows import Row

MARKDOWN_MARK = re.compile(r"[\\|`*_\[\]~$]")
MARKDOWN_SPECIAL = re.compile(f"[&<>]|{MARKDOWN_MARK.pattern}|{CONTROL_CHARACTER.pattern}")
LINE_END = re.compile(r"\r\n|\r|\n")


def encode_table(result: Encodable, *, safe_cells: bool = False, title: str = "") -> Iterator[bytes]:
    """An aligned table, as wide as it needs to be, numbers on the right.

    The first rows (PIECE_ROWS) say how wide the columns are; what is wider further down pushes the rest of its line to
    the right, and is never cut.
    """
    parts = pieces(result.rows)
    first = [_visible_rows(result, rows) for rows in islice(parts, 1)]
    header = [visible(column.name) for column in result.columns]
    widths = [max(map(_width, cells)) for cells in zip(header, *chain(*first), strict=True)]
    is_number = [column.is_number for column in result.columns]
    yield _aligned([header], widths, is_number) + "─".encode() * (sum(widths) + 3 * len(widths) - 1) + b"\n"
    for rows in chain(first, (_visible_rows(result, rows) for rows in parts)):
        yield _aligned(rows, widths, is_number)


def _visible_rows(result: Encodable, rows: list[Row]) -> list[tuple[str, ...]]:
    columns = [
        [NULL if text is None else visible(text) for text in column_texts(column, values)]
        for column, values in by_column(result.columns, rows)
    ]
    return list(zip(*columns, strict=True))


def _aligned(rows: Iterable[Sequence[str]], widths: list[int], is_number: list[bool]) -> bytes:
    lines = (
        "   ".join(
            " " * (width - _width(text)) + text if right else text + " " * (width - _width(text))
            for text, width, right in zip(row, widths, is_number, strict=True)
        )
        for row in rows
    )
    return "".join(f" {line.rstrip()}\n" for line in lines).encode()


def _width(text: str) -> int:
    """How many places a text takes in a terminal: two for each letter of Chinese, say."""
    return len(text) if text.isascii() else cell_len(text)


def encode_markdown(result: Encodable, *, safe_cells: bool = False, title: str = "") -> Iterator[bytes]:
    """A table as GitHub has them, numbers on the right, null empty; no cell's text is HTML or has any other effect.

    `safe_cells` puts an apostrophe before text that a spreadsheet, pasted into, would run as a formula.
    """
    rule = ["---:" if column.is_number else "---" for column in result.columns]
    yield _markdown_lines(header_texts(result.columns, safe_cells=safe_cells)) + f"| {' | '.join(rule)} |\n".encode()
    for rows in pieces(result.rows):
        columns = by_column(result.columns, rows)
        yield _markdown_lines([column_texts(column, values, safe_cells=safe_cells) for column, values in columns])


def _markdown_lines(columns: list[Texts]) -> bytes:
    cells = [_markdown_cells(texts) for texts in columns]
    return "".join(f"| {' | '.join(row)} |\n" for row in zip(*cells, strict=True)).encode()


def _markdown_cells(texts: Texts) -> list[str]:
    """The texts of a column; mostly there is nothing to escape in it, which is seen much faster at once."""
    if MARKDOWN_SPECIAL.search("".join(filter(None, texts))):
        return [_markdown(text) if text else "" for text in texts]
    return [text or "" for text in texts]


def _markdown(text: str) -> str:
    """Text that shows in a cell as it is (GitHub Flavored Markdown, "Backslash escapes" and "Tables")."""
    if not MARKDOWN_SPECIAL.search(text):
        return text
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = LINE_END.sub("<br>", MARKDOWN_MARK.sub(r"\\\g<0>", text))
    # What else does things in place of being shown is written out; its backslash is text, too.
    return CONTROL_CHARACTER.sub(lambda match: "\\" + repr(match[0])[1:-1], text)
