"""Read Parquet: convert typed columns to the values that JSON would hold, exactly."""

import datetime
import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import compute, parquet

from sales.importing.columns import ColumnMapping
from sales.importing.event_file import FileBatch
from sales.importing.sources import (
    BATCH_BYTES,
    BATCH_SIZE,
    MAX_LINE,
    READ_SIZE,
    START,
    STDIN,
    Checkpoint,
    ImportFileError,
    printable,
    translate_read_errors,
)
from sales.ingest.batches import Batch
from sales.ingest.fields import FIELDS
from salesengine.exact_json import encode_json

# For each Python type of a field: a test for the column types that are cast to text. Ids may be integers.
CASTS: dict[type, Callable[[Any], bool]] = {datetime.datetime: pa.types.is_temporal, Decimal: pa.types.is_floating}
TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary)
# A column of a row group may have this many bytes, or else MAX_EXPANSION times its compressed size. A page of a column
# is in memory as a whole, and only the page itself says how large it is.
MAX_COLUMN_BYTES = 100_000_000
MAX_EXPANSION = 1_000


@contextmanager
def open_parquet(file: str, columns: ColumnMapping) -> Iterator["ParquetFile"]:
    """Open a file and check its columns. Raises ImportFileError."""
    if file == STDIN:
        raise ImportFileError("cannot be read from standard input: Parquet is read from the end of the file")
    with ExitStack() as stack:
        with translate_read_errors(), _translate_parquet_errors():
            fingerprint = _fingerprint(Path(file))
            rows = stack.enter_context(_open(file))
            paths = [rows.metadata.schema.column(index).path for index in range(rows.metadata.num_columns)]
            dictionaries = stack.enter_context(_open(file, read_dictionary=paths))
            opened = ParquetFile(file, rows, dictionaries, columns, fingerprint)
        yield opened


def _open(file: str, **options: Any) -> Any:
    # Buffer each column instead of reading whole columns: a row group may be as large as the file.
    return parquet.ParquetFile(file, buffer_size=READ_SIZE, pre_buffer=False, **options)


@contextmanager
def _translate_parquet_errors() -> Iterator[None]:
    try:
        yield
    except pa.ArrowException as error:
        raise ImportFileError(f"is not a readable Parquet file: {error}") from None
    except UnicodeDecodeError:
        raise ImportFileError("is not a readable Parquet file: a name or a text is not UTF-8") from None


class ParquetFile:
    """An open Parquet file. Its checkpoints count rows, and hold the size and fingerprint of the whole file."""

    kind, unit, total_unit = "parquet ", "row", "rows"

    def __init__(self, name: str, rows: Any, dictionaries: Any, columns: ColumnMapping, fingerprint: bytes) -> None:
        """`rows` and `dictionaries` are the same file; the second reads text as dictionaries."""
        self.name, self.rows, self.dictionaries = printable(name), rows, dictionaries
        self.fingerprint = fingerprint
        self.total = rows.metadata.num_rows
        self.size = Path(name).stat().st_size
        self.column_names = rows.schema_arrow.names
        fields = zip(self.column_names, columns.header_fields(self.column_names), strict=True)
        self.fields = {name: field for name, field in fields if field is not None}
        self._check_types()

    def stop_reading(self) -> None:
        """Do nothing, because reading a file does not wait."""

    def _check_types(self) -> None:
        """Refuse lists and the like, which are never valid, and could have billions of values in one row."""
        for name in self.fields:
            kind = self.rows.schema_arrow.field(name).type
            if pa.types.is_nested(kind):
                raise ImportFileError(
                    f"cannot be imported: the column {name!r:.80} has the type {kind!s:.80}; drop it with "
                    f"--map '{name:.80}='"
                )

    def _batch_size(self, number: int) -> int:
        """Return how many rows of this row group, at most BATCH_SIZE, have BATCH_BYTES. Raises ImportFileError.

        A row has the average size of its row group, and at most the longest text of a dictionary.
        """
        group = self.rows.metadata.row_group(number)
        columns = [group.column(index) for index in range(group.num_columns)]
        columns = [column for column in columns if column.path_in_schema in self.fields]
        for column in columns:
            size = column.total_uncompressed_size
            if size > max(MAX_COLUMN_BYTES, MAX_EXPANSION * column.total_compressed_size):
                raise ImportFileError(
                    f"cannot be imported: the column {column.path_in_schema!r:.80} expands to {size:,} bytes, more "
                    f"than {MAX_EXPANSION:,} times its compressed size; write it again with smaller row groups"
                )
        average = int(sum(column.total_uncompressed_size for column in columns)) // max(int(group.num_rows), 1)
        longest = max(self._longest_shared_text(number, name) for name in self.fields)
        return min(BATCH_SIZE, max(BATCH_BYTES // max(average, longest, 1), 1))

    def _longest_shared_text(self, number: int, name: str) -> int:
        """Return the bytes of the longest text in a column's dictionary, which any number of rows may refer to."""
        first = next(self.dictionaries.iter_batches(1, row_groups=[number], columns=[name], use_threads=False), None)
        if first is None or not pa.types.is_dictionary(first.column(0).type):
            return 0
        texts = first.column(0).dictionary
        if not any(is_text(texts.type) for is_text in TEXTS):
            return 0
        longest = int(compute.max(compute.binary_length(texts)).as_py() or 0)
        if longest > MAX_LINE:
            raise ImportFileError(f"has a text of {longest:,} bytes in {name!r:.80}, which is too long for an event")
        return longest

    def prefixes(self) -> list[bytes]:
        return [self.fingerprint]

    def latest_checkpoint(self, checkpoints: Iterable[Checkpoint]) -> Checkpoint:
        known = (checkpoint for checkpoint in checkpoints if checkpoint.fingerprint == self.fingerprint)
        return max(known, key=lambda checkpoint: checkpoint.lines, default=START)

    def is_shorter_than(self, size: int) -> bool:
        return self.size < size

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
        for size, alike in groupby(groups, self._batch_size):
            for records in self.rows.iter_batches(size, row_groups=list(alike), columns=columns, use_threads=False):
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
