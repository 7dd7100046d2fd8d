"""Read CSV: RFC 4180 in UTF-8, with a header. An empty cell is null where the field may be null.

RFC 4180 lets the last line end without a line break. Here it must have one, because 68589 may be the beginning of
685892.99 in a file that is cut off.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from sales.importing.sources import BOM, MAX_LINE, START, ImportFileError, LineReader, new_hash
from sales.ingest.batches import Batch
from sales.ingest.fields import FIELDS
from sales.ingest.schema import NotJSON
from salesengine.exact_json import encode_json
from salesengine.plurals import counted
from salesengine.spreadsheets import explain_csv_error, find_delimiter

MAY_BE_EMPTY = [name for name, field in FIELDS.items() if not field.is_required]

CSVRow = list[str] | NotJSON  # the cells of a row, or why it cannot be read


def header_delimiter(content: io.BufferedReader) -> str:
    """Return the delimiter that the first line of a file implies."""
    content.seek(0)
    return find_delimiter(content.readline(MAX_LINE).decode(errors="replace"))


def read_header(content: io.BufferedReader, delimiter: str) -> list[str]:
    """Return the names of the columns. Raises ImportFileError."""
    content.seek(0)
    header, _ = next(_rows(LineReader(content, START, new_hash()), delimiter), ([], 0))
    if isinstance(header, NotJSON):
        raise ImportFileError(f"has no readable header: it {header.reason}")
    if not header:
        raise ImportFileError("has no header in its first line")
    return header


def csv_batches(lines: LineReader, fields: Sequence[str | None], delimiter: str) -> Iterator[Batch]:
    """Yield the remaining rows, one batch per chunk, without empty lines."""
    rows = _rows(lines, delimiter)
    if lines.checkpoint == START:
        next(rows)  # the header
    header_lines = len(lines.chunk)
    while True:
        values, starts = [], []
        for row, start in rows:
            if row:
                values.append(_value(row, fields, delimiter))
                starts.append(start)
            if lines.is_chunk_full:
                break
        if len(lines.chunk) == header_lines:
            return
        line_numbers = [lines.checkpoint.lines + start + 1 for start in starts]
        yield Batch(values, partial(_texts, values, starts, lines.chunk), lines=line_numbers)
        header_lines = 0


def _rows(lines: LineReader, delimiter: str) -> Iterator[tuple[CSVRow, int]]:
    """Yield each row and the index of its first line in the chunk."""
    decoded = _DecodedLines(lines)
    reader = csv.reader(decoded, delimiter=delimiter, strict=True)
    while True:
        start, decoded.row_start, decoded.row_is_utf8 = len(lines.chunk), lines.chunk_size, True
        try:
            row: CSVRow = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            row = NotJSON(f"is not valid CSV: {explain_csv_error(error)}")
        yield (row if decoded.row_is_utf8 else NotJSON("is not UTF-8; save the file in that encoding")), start


class _DecodedLines:
    """The lines as text, for csv.reader."""

    def __init__(self, lines: LineReader) -> None:
        self.lines, self.iterator = lines, iter(lines)
        self.row_start = 0  # byte at which the current row starts in the chunk
        self.row_is_utf8 = True

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self.iterator)
        if self.lines.chunk_size - self.row_start > MAX_LINE:
            raise ImportFileError(
                f"has a row of more than {MAX_LINE:,} bytes, which extends to line {self.lines.line_number:,}"
            )
        if not line.endswith((b"\n", b"\r")):
            raise ImportFileError(
                f"has no line break at the end of line {self.lines.line_number:,}, its last, so it may be cut off. "
                "Import the complete file. If this is the complete file, add a line break to its end"
            )
        if self.lines.line_number == 1:
            line = line.removeprefix(BOM)
        try:
            return line.decode()
        except UnicodeDecodeError:
            self.row_is_utf8 = False
            return line.decode(errors="replace")


def _value(row: CSVRow, fields: Sequence[str | None], delimiter: str) -> Any:
    if isinstance(row, NotJSON):
        return row
    if len(row) != len(fields):
        return NotJSON(
            f"has {counted(len(row), 'value')}, but the header has {len(fields)}; "
            f"put quotes around a value that contains {delimiter!r}"
        )
    value: dict[str | None, str | None] = dict(zip(fields, row, strict=True))
    value.pop(None, None)  # dropped columns
    for field in MAY_BE_EMPTY:
        if value.get(field) == "":
            value[field] = None
    return value


def _texts(values: Sequence[Any], starts: Sequence[int], chunk: Sequence[bytes]) -> list[bytes]:
    """Return each event as text to store when it is rejected.

    A readable row becomes JSON with our field names, because a row means nothing without its header.
    """
    ends = [*starts[1:], len(chunk)]
    return [
        b"".join(chunk[start:end]).rstrip(b"\r\n") if isinstance(value, NotJSON) else encode_json(value)
        for value, start, end in zip(values, starts, ends, strict=True)
    ]
