"""Encode CSV with the quoting rules of PostgreSQL's COPY. Timestamps are ISO 8601."""

from collections.abc import Iterator

from analytics.output.formats.cells import Encodable, Texts, header_texts, text_pieces

QUOTED = (",", '"', "\r", "\n")
END_OF_COPY = "\\."  # alone on a line, it ends the data for servers before PostgreSQL 18


def encode_csv(result: Encodable, *, safe_cells: bool = False, title: str = "") -> Iterator[bytes]:
    r"""Yield CSV with a header, in UTF-8, with lines that end in \n. Null is an empty cell, and empty text is "".

    `safe_cells` puts an apostrophe before text that a spreadsheet would run as a formula, also in column names. Without
    it, the lines come unchanged from COPY if the result offers them.
    """
    yield _lines(header_texts(result.columns, safe_cells=safe_cells))
    if not safe_cells and (lines := result.copy_csv()) is not None:
        yield from lines
        return
    yield from map(_lines, text_pieces(result, safe_cells=safe_cells))


def _lines(columns: list[Texts]) -> bytes:
    fields = [_fields(texts, is_only=len(columns) == 1) for texts in columns]
    return "".join(f"{line}\n" for line in map(",".join, zip(*fields, strict=True))).encode()


def _fields(texts: Texts, *, is_only: bool) -> list[str]:
    """Return the texts of a column, quoted where necessary (PostgreSQL's manual, COPY, "CSV Format").

    Most columns need no quotes. Checking all texts at once is much faster than one by one.
    """
    all_texts = "".join(filter(None, texts))
    if is_only or any(mark in all_texts for mark in QUOTED):
        return [_field(text, is_only=is_only) for text in texts]
    return ["" if text is None else text or '""' for text in texts]


def _field(text: str | None, *, is_only: bool) -> str:
    if text is None:
        return ""
    if not text or any(mark in text for mark in QUOTED) or (is_only and text == END_OF_COPY):
        return '"' + text.replace('"', '""') + '"'
    return text
