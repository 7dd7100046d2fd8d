"""Describe a file of events as the importer sees it, whatever the file's format."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from sales.importing.sources import Checkpoint
from sales.ingest.batches import Batch


@dataclass(frozen=True)
class FileBatch:
    """A batch of events from a file, and where it ends. One transaction stores it."""

    content: Batch
    end: Checkpoint
    done: int  # how much of the file's `total` has been read


class EventFile(Protocol):
    """An open file of events."""

    name: str
    kind: str  # the format and the delimiter, as FileImport stores them
    column_names: Sequence[str] | None  # None for NDJSON, where each line has its own
    unit: str  # what an event is in the file: "line" or "row"
    total_unit: str  # what `total` counts: "bytes" or "rows"
    total: int | None  # how much there is to read, if known

    def prefixes(self) -> list[bytes]:
        """Return fingerprints of longer and longer beginnings of the file. When the file grows, these remain."""
        ...

    def latest_checkpoint(self, checkpoints: Iterable[Checkpoint]) -> Checkpoint:
        """Return the last of the checkpoints that fits this file's content; START if none does."""
        ...

    def is_shorter_than(self, size: int) -> bool:
        """Return whether the file has fewer bytes. Call `latest_checkpoint` with a checkpoint of that size before."""
        ...

    def stop_reading(self) -> None:
        """End a wait for a pipe in another thread, because nobody needs its data any more."""
        ...

    def batches(self, start: Checkpoint) -> Iterator[FileBatch]:
        """Yield the events after `start`, which `latest_checkpoint` returned. Raises ImportFileError."""
        ...
