"""Encode tables for people: aligned for a terminal, or in Markdown."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from rich.cells import cell_len

from analytics.output.formats.cells import CONTROL_CHARACTER, NULL, Encodable, Texts, header_texts, text_pieces, visible

MARKDOWN_MARK = re.compile(r"[\\|`*_\[\]~$]")
MARKDOWN_SPECIAL = re.compile(f"[&<>]|{MARKDOWN_MARK.pattern}|{CONTROL_CHARACTER.pattern}")
LINE_END = re.compile(r"\r\n|\r|\n")


def encode_table(result: Encodable, *, safe_cells: bool = False, title: str = "") -> Iterator[bytes]:
    """Yield an aligned table with numbers on the right.

    The first PIECE_ROWS rows set the width of the columns. A wider text further down shifts the rest of its line to the
    right, and is never cut.
    """
    remaining = map(_visible_rows, text_pieces(result))
    first = list(islice(remaining, 1))
    header = [visible(column.name) for column in result.columns]
    widths = [max(map(_width, cells)) for cells in zip(header, *chain(*first), strict=True)]
    is_number = [column.is_number for column in result.columns]
    yield _aligned([header], widths, is_number) + "─".encode() * (sum(widths) + 3 * len(widths) - 1) + b"\n"
    for rows in chain(first, remaining):
        yield _aligned(rows, widths, is_number)


def _visible_rows(columns: list[Texts]) -> list[tuple[str, ...]]:
    cells = [[NULL if text is None else visible(text) for text in texts] for texts in columns]
    return list(zip(*cells, strict=True))


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
    """Return the width of a text in a terminal, where for example each Chinese character takes two cells."""
    return len(text) if text.isascii() else cell_len(text)


def encode_markdown(result: Encodable, *, safe_cells: bool = False, title: str = "") -> Iterator[bytes]:
    """Yield a table in GitHub's Markdown, with numbers on the right and empty cells for nulls. All text is escaped.

    `safe_cells` puts an apostrophe before text that a spreadsheet would run as a formula if the table is pasted there.
    """
    rule = ["---:" if column.is_number else "---" for column in result.columns]
    yield _markdown_lines(header_texts(result.columns, safe_cells=safe_cells)) + f"| {' | '.join(rule)} |\n".encode()
    yield from map(_markdown_lines, text_pieces(result, safe_cells=safe_cells))


def _markdown_lines(columns: list[Texts]) -> bytes:
    cells = [_markdown_cells(texts) for texts in columns]
    return "".join(f"| {' | '.join(row)} |\n" for row in zip(*cells, strict=True)).encode()


def _markdown_cells(texts: Texts) -> list[str]:
    """Return a column's texts, escaped. Checking all of them at once is faster."""
    if MARKDOWN_SPECIAL.search("".join(filter(None, texts))):
        return [_markdown(text) if text else "" for text in texts]
    return [text or "" for text in texts]


def _markdown(text: str) -> str:
    """Escape text so that a cell shows it unchanged (GitHub Flavored Markdown, "Backslash escapes" and "Tables")."""
    if not MARKDOWN_SPECIAL.search(text):
        return text
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = LINE_END.sub("<br>", MARKDOWN_MARK.sub(r"\\\g<0>", text))
    # Write out the other control characters. The backslash of each is itself escaped.
    return CONTROL_CHARACTER.sub(lambda match: "\\" + repr(match[0])[1:-1], text)
