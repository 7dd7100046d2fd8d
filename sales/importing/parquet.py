"""Parquet: columns of types -> values as JSON has them, exact."""

import datetime
import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from sales.importing.columns import Columns
from sales.importing.event_file import Chunk
from sales.importing.sources import CHUNK, PIECE, START, STDIN, Checkpoint, ImportFileError, in_plain_words
from sales.ingest.batches import Batch
from sales.ingest.fields import FIELDS
from salesengine.http.renderers import encode_json

# Whether a column of this type is cast to text, by the Python type of its field. Ids may be integers.
CASTS: dict[type, Callable[[Any], bool]] = {datetime.datetime: pa.types.is_temporal, Decimal: pa.types.is_floating}


@contextmanager
def open_parquet(file: str, columns: Columns) -> Iterator["ParquetFile"]:
    """Open a file and look at its columns. Raises FileFailed."""
    if file == STDIN:
        raise ImportFileError("cannot be read from standard input as Parquet, whose columns are found from its end")
    with ExitStack() as stack:
        with in_plain_words(), _refusing_what_is_broken():
            digest = _digest(Path(file))
            # A buffer for each column, in place of whole columns: a row group may be as large as the file.
            rows = stack.enter_context(parquet.ParquetFile(file, buffer_size=PIECE, pre_buffer=False))
        yield ParquetFile(file, rows, columns, digest)


@contextmanager
def _refusing_what_is_broken() -> Iterator[None]:
    try:
        yield
    except pa.ArrowException as error:
        raise ImportFileError(f"is no Parquet file that can be read: {error}") from None


class ParquetFile:
    """An open Parquet file. A place in it is a row, and the digest always that of the whole file."""

    unit, counts = "row", "rows"

    def __init__(self, name: str, rows: Any, columns: Columns, digest: bytes) -> None:
        self.name, self.rows, self.digest = name, rows, digest
        self.total = rows.metadata.num_rows
        self.size = Path(name).stat().st_size
        names = rows.schema_arrow.names
        try:
            fields = columns.of_header(names)
        except ValueError as error:
            raise ImportFileError(f"cannot be taken: {error}") from None
        self.fields = {name: field for name, field in zip(names, fields, strict=True) if field is not None}

    def head(self) -> bytes:
        return self.digest

    def taken(self, places: Iterable[Checkpoint]) -> Checkpoint:
        known = (place for place in places if place.digest == self.digest)
        return max(known, key=lambda place: place.lines, default=START)

    def chunks(self, place: Checkpoint) -> Iterator[Chunk]:
        row = place.lines
        with in_plain_words(), _refusing_what_is_broken():
            for records in self._records_after(row):
                values = _values(records.rename_columns([self.fields[name] for name in records.schema.names]))
                batch = Batch(values, partial(_texts, values), lines=range(row + 1, row + len(values) + 1))
                row += len(values)
                yield Chunk(batch, Checkpoint(self.size, row, self.digest), row)

    def _records_after(self, row: int) -> Iterator[Any]:
        """Batches of records; row groups that were taken are not read."""
        groups = list(range(self.rows.num_row_groups))
        while groups and (size := self.rows.metadata.row_group(groups[0]).num_rows) <= row:
            row -= size
            del groups[0]
        for records in self.rows.iter_batches(CHUNK, row_groups=groups, columns=list(self.fields), use_threads=False):
            if row < len(records):
                yield records.slice(row)
            row = max(0, row - len(records))


def _digest(file: Path) -> bytes:
    with file.open("rb") as content:
        return hashlib.file_digest(content, partial(hashlib.blake2b, digest_size=32)).digest()


def _values(records: Any) -> list[dict[str, Any]]:
    columns = [_column(name, column) for name, column in zip(records.schema.names, records.columns, strict=True)]
    return [dict(zip(records.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


def _column(field: str, column: Any) -> list[Any]:
    """Numbers of ids become text, binary fractions the shortest decimal that reads back as the same; times are UTC."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _column(field, column.dictionary_decode())
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us"), safe=False)  # finer than that is cut off, as in JSON
    is_cast = pa.types.is_integer if FIELDS[field].is_id else CASTS.get(FIELDS[field].python_type, pa.types.is_string)
    if is_cast(kind):
        column = column.cast(pa.string())
    values: list[Any] = column.to_pylist()
    return values


def _texts(values: Iterable[dict[str, Any]]) -> list[bytes]:
    return [encode_json(value) for value in values]
