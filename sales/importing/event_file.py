"""What the importer needs of a file of events, in whatever format."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from sales.importing.sources import Checkpoint
from sales.ingest.batches import Batch


@dataclass(frozen=True)
class Chunk:
    """Events that are stored together."""

    batch: Batch
    end: Checkpoint
    done: int  # how much of the file's `total` is read


class EventFile(Protocol):
    """An open file of events."""

    name: str
    unit: str  # where an event stands: in a line, in a row
    counts: str  # what `total` counts
    total: int | None  # how much there is to read, if that is known

    def head(self) -> bytes:
        """The first of it: the same for the same file, also when it has grown."""
        ...

    def taken(self, places: Iterable[Checkpoint]) -> Checkpoint:
        """The last of the places that exactly this file was taken to; START if none."""
        ...

    def chunks(self, place: Checkpoint) -> Iterator[Chunk]:
        """What follows the place that `taken` said. Raises FileFailed."""
        ...
