"""Read Parquet: convert typed columns to the values that JSON would hold, exactly."""

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

from sales.importing.columns import ColumnMapping
from sales.importing.event_file import FileBatch
from sales.importing.sources import (
    BATCH_SIZE,
    READ_SIZE,
    START,
    STDIN,
    Checkpoint,
    ImportFileError,
    translate_read_errors,
)
from sales.ingest.batches import Batch
from sales.ingest.fields import FIELDS
from salesengine.exact_json import encode_json

# For each Python type of a field: a test for the column types that are cast to text. Ids may be integers.
CASTS: dict[type, Callable[[Any], bool]] = {datetime.datetime: pa.types.is_temporal, Decimal: pa.types.is_floating}


@contextmanager
def open_parquet(file: str, columns: ColumnMapping) -> Iterator["ParquetFile"]:
    """Open a file and check its columns. Raises ImportFileError."""
    if file == STDIN:
        raise ImportFileError("cannot be read from standard input: Parquet is read from the end of the file")
    with ExitStack() as stack:
        with translate_read_errors(), _translate_parquet_errors():
            fingerprint = _fingerprint(Path(file))
            # Buffer each column instead of reading whole columns: a row group may be as large as the file.
            rows = stack.enter_context(parquet.ParquetFile(file, buffer_size=READ_SIZE, pre_buffer=False))
        yield ParquetFile(file, rows, columns, fingerprint)


@contextmanager
def _translate_parquet_errors() -> Iterator[None]:
    try:
        yield
    except pa.ArrowException as error:
        raise ImportFileError(f"is not a readable Parquet file: {error}") from None


class ParquetFile:
    """An open Parquet file. Its checkpoints count rows, and hold the size and fingerprint of the whole file."""

    unit, total_unit = "row", "rows"

    def __init__(self, name: str, rows: Any, columns: ColumnMapping, fingerprint: bytes) -> None:
        self.name, self.rows, self.fingerprint = name, rows, fingerprint
        self.total = rows.metadata.num_rows
        self.size = Path(name).stat().st_size
        names = rows.schema_arrow.names
        fields = zip(names, columns.header_fields(names), strict=True)
        self.fields = {name: field for name, field in fields if field is not None}

    def prefixes(self) -> list[bytes]:
        return [self.fingerprint]

    def latest_checkpoint(self, checkpoints: Iterable[Checkpoint]) -> Checkpoint:
        known = (checkpoint for checkpoint in checkpoints if checkpoint.fingerprint == self.fingerprint)
        return max(known, key=lambda checkpoint: checkpoint.lines, default=START)

    def batches(self, start: Checkpoint) -> Iterator[FileBatch]:
        row = start.lines
        with translate_read_errors(), _translate_parquet_errors():
            for records in self._record_batches(row):
                values = _values(records.rename_columns([self.fields[name] for name in records.schema.names]))
                batch = Batch(values, partial(_texts, values), lines=range(row + 1, row + len(values) + 1))
                row += len(values)
                yield FileBatch(batch, Checkpoint(self.size, row, self.fingerprint), row)

    def _record_batches(self, row: int) -> Iterator[Any]:
        """Yield the record batches that follow the first `row` rows, without reading row groups before them."""
        groups = list(range(self.rows.num_row_groups))
        while groups and (size := self.rows.metadata.row_group(groups[0]).num_rows) <= row:
            row -= size
            del groups[0]
        columns = list(self.fields)
        for records in self.rows.iter_batches(BATCH_SIZE, row_groups=groups, columns=columns, use_threads=False):
            if row < len(records):
                yield records.slice(row)
            row = max(0, row - len(records))


def _fingerprint(file: Path) -> bytes:
    with file.open("rb") as content:
        return hashlib.file_digest(content, partial(hashlib.blake2b, digest_size=32)).digest()


def _values(records: Any) -> list[dict[str, Any]]:
    columns = [_column(name, column) for name, column in zip(records.schema.names, records.columns, strict=True)]
    return [dict(zip(records.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


def _column(field: str, column: Any) -> list[Any]:
    """Return the values of a column.

    Integer ids become text, and floats the shortest decimal that reads back the same. Times are in UTC.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _column(field, column.dictionary_decode())
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us"), safe=False)  # truncates nanoseconds, as for JSON
    is_cast = pa.types.is_integer if FIELDS[field].is_id else CASTS.get(FIELDS[field].python_type, pa.types.is_string)
    if is_cast(kind):
        column = column.cast(pa.string())
    values: list[Any] = column.to_pylist()
    return values


def _texts(values: Iterable[dict[str, Any]]) -> list[bytes]:
    return [encode_json(value) for value in values]
