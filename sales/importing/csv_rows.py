"""CSV: RFC 4180 in UTF-8, with a header. An empty cell is null where a field may be null."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from sales.importing.columns import Columns
from sales.importing.sources import BOM, MAX_LINE, START, ImportFileError, Lines, new_digest
from sales.ingest.batches import Batch
from sales.ingest.fields import FIELDS
from sales.ingest.schema import NotJSON
from salesengine.http.renderers import encode_json

MAY_BE_EMPTY = [name for name, field in FIELDS.items() if not field.is_required]

Row = list[str] | NotJSON  # its cells, or what is wrong with it


def read_csv(content: io.BufferedReader, columns: Columns, delimiter: str) -> Callable[[Lines], Iterator[Batch]]:
    """Look at the header, and give what reads the rows. Raises FileFailed."""
    content.seek(0)
    header, _ = next(_rows(Lines(content, START, new_digest()), delimiter), ([], 0))
    if isinstance(header, NotJSON):
        raise ImportFileError(f"has no header that can be read: it {header.reason}")
    if not header:
        raise ImportFileError("has no header in its first line")
    try:
        fields = columns.of_header(header)
    except ValueError as error:
        raise ImportFileError(f"cannot be taken: {error}") from None
    return partial(csv_batches, fields=fields, delimiter=delimiter)


def csv_batches(lines: Lines, fields: Sequence[str | None], delimiter: str) -> Iterator[Batch]:
    """The rows that follow; empty lines are passed over."""
    rows = _rows(lines, delimiter)
    if lines.place == START:
        next(rows)  # the header
    header_lines = len(lines.raw)
    while True:
        values, places = [], []
        for row, place in rows:
            if row:
                values.append(_value(row, fields, delimiter))
                places.append(place)
            if lines.is_chunk:
                break
        if len(lines.raw) == header_lines:
            return
        numbers = [lines.place.lines + place + 1 for place in places]
        yield Batch(values, partial(_texts, values, places, lines.raw), lines=numbers)
        header_lines = 0


def _rows(lines: Lines, delimiter: str) -> Iterator[tuple[Row, int]]:
    """Each row, and where it starts among the lines of the chunk."""
    texts = _Texts(lines)
    reader = csv.reader(texts, delimiter=delimiter, strict=True)
    while True:
        place, texts.row_start, texts.are_utf8 = len(lines.raw), lines.size, True
        try:
            row: Row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            row = NotJSON(f"is not valid CSV: {error}; a quote inside a quoted value is written twice")
        yield (row if texts.are_utf8 else NotJSON("is not in UTF-8; save the file in that encoding")), place


class _Texts:
    """The lines as text, for csv.reader."""

    def __init__(self, lines: Lines) -> None:
        self.lines, self.each = lines, iter(lines)
        self.row_start = 0
        self.are_utf8 = True  # those of the row that is being read

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self.each)
        if self.lines.size - self.row_start > MAX_LINE:
            raise ImportFileError(f"has a row of more than {MAX_LINE:,} bytes, up to line {self.lines.number:,}")
        if self.lines.number == 1:
            line = line.removeprefix(BOM)
        try:
            return line.decode()
        except UnicodeDecodeError:
            self.are_utf8 = False
            return line.decode(errors="replace")


def _value(row: Row, fields: Sequence[str | None], delimiter: str) -> Any:
    if isinstance(row, NotJSON):
        return row
    if len(row) != len(fields):
        return NotJSON(
            f"has {len(row)} values, and the header has {len(fields)}; "
            f"a value that holds {delimiter!r} needs quotes around it"
        )
    value: dict[str | None, str | None] = dict(zip(fields, row, strict=True))
    value.pop(None, None)  # columns to drop
    for field in MAY_BE_EMPTY:
        if value.get(field) == "":
            value[field] = None
    return value


def _texts(values: Sequence[Any], places: Sequence[int], raw: Sequence[bytes]) -> list[bytes]:
    """What came: a row that makes sense as JSON with our names, since a row says nothing without its header."""
    ends = [*places[1:], len(raw)]
    return [
        b"".join(raw[place:end]).rstrip(b"\r\n") if isinstance(value, NotJSON) else encode_json(value)
        for value, place, end in zip(values, places, ends, strict=True)
    ]
