"""The forms of files: CSV, NDJSON and Parquet -> chunks of values, each with the place where it ends."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import PurePath

from sales.importing.columns import Columns
from sales.importing.csv_rows import read_csv
from sales.importing.event_file import Chunk, EventFile
from sales.importing.sources import (
    BOM,
    MAX_LINE,
    Checkpoint,
    Lines,
    Source,
    in_plain_words,
    longest_prefix,
    new_digest,
    open_source,
)
from sales.ingest.batches import Batch, parse_each

FORMS = ("csv", "ndjson", "parquet")
BY_SUFFIX = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "ndjson", ".parquet": "parquet"}


def form_of(file: str) -> str | None:
    """The form that a file's name tells of."""
    return BY_SUFFIX.get(PurePath(file.lower().removesuffix(".gz")).suffix)


def open_file(file: str, form: str, columns: Columns, delimiter: str) -> AbstractContextManager[EventFile]:
    """Open a file and look at its columns. Raises FileFailed, in plain words, also while it is read."""
    if form == "parquet":
        from sales.importing.parquet import open_parquet  # pyarrow is large, and mostly not needed

        return open_parquet(file, columns)
    return _open_text(file, form, columns, delimiter)


@contextmanager
def _open_text(file: str, form: str, columns: Columns, delimiter: str) -> Iterator[EventFile]:
    with open_source(file) as source:
        batches: Callable[[Lines], Iterator[Batch]] = partial(ndjson_batches, columns=columns)
        if form == "csv":
            with in_plain_words():
                batches = read_csv(source.content, columns, delimiter)
        yield TextFile(source, batches)


class TextFile:
    """An open file of lines; `batches` makes events of them."""

    unit, counts = "line", "bytes"

    def __init__(self, source: Source, batches: Callable[[Lines], Iterator[Batch]]) -> None:
        self.name, self.total = source.name, source.total
        self.source, self.batches = source, batches
        self.digest = new_digest()

    def head(self) -> bytes:
        with in_plain_words():
            self.source.content.seek(0)
            return b"".join(self.source.content.readline(MAX_LINE) for _ in range(2))

    def taken(self, places: Iterable[Checkpoint]) -> Checkpoint:
        with in_plain_words():
            place, self.digest = longest_prefix(self.source.content, places)
        return place

    def chunks(self, place: Checkpoint) -> Iterator[Chunk]:
        with in_plain_words():
            lines = Lines(self.source.content, place, self.digest)
            self.source.keep_no_more()
            for batch in self.batches(lines):
                yield Chunk(batch, lines.end_chunk(), self.source.packed.tell())


def ndjson_batches(lines: Lines, columns: Columns) -> Iterator[Batch]:
    """One event a line, in JSON; empty lines are passed over."""
    while raw := lines.next_chunk():
        numbered = [(number, line.strip()) for number, line in enumerate(raw, lines.place.lines + 1)]
        if lines.place.lines == 0:
            numbered[0] = (1, raw[0].removeprefix(BOM).strip())
        texts = [text for _, text in numbered if text]
        values = [columns.rename(value) for value in parse_each(texts)]
        yield Batch(values, partial(list, texts), lines=[number for number, text in numbered if text])
