"""Open files of events in each format: CSV, NDJSON and Parquet."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import PurePath

from sales.importing.columns import ColumnMapping
from sales.importing.csv_rows import csv_batches, header_delimiter, read_header
from sales.importing.event_file import EventFile, FileBatch
from sales.importing.sources import (
    BOM,
    MAX_LINE,
    Checkpoint,
    LineReader,
    Source,
    latest_checkpoint,
    new_hash,
    open_source,
    translate_read_errors,
)
from sales.ingest.batches import Batch, parse_each
from sales.ingest.valid_events import read_each_valid

MAX_PREFIX = 64  # lines
FORMATS = ("csv", "ndjson", "parquet")
FORMAT_BY_SUFFIX = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "ndjson", ".parquet": "parquet"}


def detect_format(file: str) -> str | None:
    """Return the format that a file's name implies, or None."""
    return FORMAT_BY_SUFFIX.get(PurePath(file.lower().removesuffix(".gz")).suffix)


def open_file(
    file: str, file_format: str, columns: ColumnMapping, delimiter: str = ""
) -> AbstractContextManager[EventFile]:
    """Open a file and check its columns. Raises ImportFileError, also later while the file is read.

    The delimiter is that of CSV. If it is empty, the header implies it.
    """
    if file_format == "parquet":
        from sales.importing.parquet import open_parquet  # loads pyarrow, which is large and rarely needed

        return open_parquet(file, columns)
    return _open_text(file, file_format, columns, delimiter)


@contextmanager
def _open_text(file: str, file_format: str, columns: ColumnMapping, delimiter: str) -> Iterator[EventFile]:
    with open_source(file) as source:
        if file_format == "csv":
            with translate_read_errors():
                delimiter = delimiter or header_delimiter(source.content)
                header = read_header(source.content, delimiter)
            parse = partial(csv_batches, fields=columns.header_fields(header), delimiter=delimiter)
            yield TextFile(source, f"csv {delimiter}", parse, header)
        else:
            # With the space of earlier imports.
            yield TextFile(source, "ndjson ", partial(ndjson_batches, columns=columns), None)


class TextFile:
    """An open CSV or NDJSON file; `parse` turns its lines into batches."""

    unit, total_unit = "line", "bytes"

    def __init__(
        self, source: Source, kind: str, parse: Callable[[LineReader], Iterator[Batch]], header: Sequence[str] | None
    ) -> None:
        self.name, self.kind, self.total = source.name, kind, source.total
        self.source, self.parse, self.column_names = source, parse, header
        self.header_lines = 0 if header is None else 1
        self.hash = new_hash()

    def prefixes(self) -> list[bytes]:
        """Return fingerprints of the first 1, 2, 4, ... lines of events, each with the header of CSV."""
        content_hash, found = new_hash(), []
        with translate_read_errors():
            self.source.content.seek(0)
            for number in range(1 - self.header_lines, MAX_PREFIX + 1):
                if not (line := self.source.content.readline(MAX_LINE)):
                    break
                content_hash.update(line.rstrip(b"\r\n") + b"\n")  # the line break may be added later
                if number > 0 and number.bit_count() == 1:
                    found.append(content_hash.digest())
        return found

    def latest_checkpoint(self, checkpoints: Iterable[Checkpoint]) -> Checkpoint:
        with translate_read_errors():
            checkpoint, self.hash = latest_checkpoint(self.source.content, checkpoints)
        return checkpoint

    def is_shorter_than(self, size: int) -> bool:
        with translate_read_errors():
            self.source.content.seek(size - 1)
            return not self.source.content.read(1)

    def stop_reading(self) -> None:
        self.source.stop_reading()

    def batches(self, start: Checkpoint) -> Iterator[FileBatch]:
        with translate_read_errors():
            lines = LineReader(self.source.content, start, self.hash)
            self.source.stop_recording()
            for batch in self.parse(lines):
                yield FileBatch(batch, lines.end_chunk(), self.source.raw.tell())


def ndjson_batches(lines: LineReader, columns: ColumnMapping) -> Iterator[Batch]:
    """Yield the remaining lines, one JSON event each, one batch per chunk, without empty lines."""
    while chunk := lines.read_chunk():
        numbered = [(number, line.strip()) for number, line in enumerate(chunk, lines.checkpoint.lines + 1)]
        if lines.checkpoint.lines == 0:
            numbered[0] = (1, chunk[0].removeprefix(BOM).strip())
        texts = [text for _, text in numbered if text]
        numbers = [number for number, text in numbered if text]
        events = None if columns.mapped else read_each_valid(texts)
        values = [columns.rename(value) for value in parse_each(texts)] if events is None else events
        yield Batch(values, partial(list, texts), lines=numbers, is_valid=events is not None)
