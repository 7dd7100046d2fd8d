"""Files into the database: chunk by chunk, each in one transaction with the place where it ends."""

import hashlib
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from django.db import Error, connection, transaction
from django.utils import timezone

from sales.importing.event_file import Chunk, EventFile
from sales.importing.sources import START, Checkpoint, ImportFileError
from sales.ingest.schema import ValidationResult, validate_events
from sales.ingest.service import BatchContext, BatchResult, IngestOptions, store_batch
from sales.models import FileImport

Item = TypeVar("Item")

LOCK_TIMEOUT = 10  # seconds for another import of the same file to end: one that was killed leaves its lock soon


@dataclass(frozen=True)
class ImportOptions:
    """How files are imported."""

    sender: str
    reading: str  # the form, and what the columns are called
    options: IngestOptions
    again: bool = False  # also what was imported before


@dataclass
class ImportSummary:
    """What became of a file so far."""

    file: str
    unit: str  # of `before`: lines or rows
    before: int = 0  # taken by imports before this one
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0
    seconds: float = 0

    def __str__(self) -> str:
        events = self.accepted + self.duplicate + self.rejected
        if self.before and not events:
            return f"{self.file}: nothing to do, all {self.before:,} {self.unit}s were imported before"
        after = f", after the {self.before:,} {self.unit}s that were imported before" if self.before else ""
        return (
            f"{self.file}: {self.accepted:,} accepted, {self.duplicate:,} duplicate, {self.rejected:,} rejected "
            f"in {self.seconds:,.1f} s, {events / max(self.seconds, 0.001):,.0f} events/s{after}"
        )


def import_file(file: EventFile, how: ImportOptions, outcome: ImportSummary, advance: Callable[[int], None]) -> None:
    """Take in what was not taken before. `outcome` is kept up, also where this raises.

    Raises FileFailed, InvalidEvents and EventConflict (unless bad events are skipped), and django.db.Error; all that
    was taken up to there stays.
    """
    start, done = time.monotonic(), 0
    try:
        with _alone(file, how):
            place, kept = _begin(file, how)
            outcome.before = place.lines
            with closing(one_ahead(_checked(file.chunks(place)))) as chunks:
                for chunk, checked in chunks:
                    _take(chunk, checked, file.name, how, kept, outcome)
                    advance(chunk.done - done)
                    done = chunk.done
            _finish(kept, how)
    finally:
        outcome.seconds = round(time.monotonic() - start, 3)


# Chunks


def _checked(chunks: Iterable[Chunk]) -> Iterator[tuple[Chunk, ValidationResult]]:
    for chunk in chunks:
        yield chunk, validate_events(chunk.batch.values)


def one_ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """The same items; each is made in a thread while the one before is worked on."""
    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = maker.submit(next, items, None)
            yield item


def _take(
    chunk: Chunk, checked: ValidationResult, name: str, how: ImportOptions, kept: FileImport, outcome: ImportSummary
) -> None:
    if checked.errors and not how.options.skip:
        raise chunk.batch.validation_error(checked)
    with transaction.atomic():
        taken = store_batch(chunk.batch, checked, BatchContext(how.sender, name, how.options))
        if not how.options.dry_run:
            _keep_place(kept, chunk.end, taken)
    for what, number in taken.counts().items():
        setattr(outcome, what, getattr(outcome, what) + number)


# The place


def _begin(file: EventFile, how: ImportOptions) -> tuple[Checkpoint, FileImport]:
    """Where the file was, and what is kept about it from here on."""
    known = FileImport.objects.filter(sender=how.sender, reading=how.reading)
    if how.again:
        known = known.filter(is_again=True, finished_at=None)
    imports = {Checkpoint(each.size, each.lines, bytes(each.digest)): each for each in known.order_by("pk")}
    place = file.taken(imports)
    if place != START and imports[place].finished_at is None and imports[place].name == file.name:
        return place, imports[place]
    # A finished import is left as it is: a copy of the file as it was then is known by it.
    new = FileImport(sender=how.sender, reading=how.reading, name=file.name, is_again=how.again)
    _go_to(new, place)
    return place, new


def _go_to(kept: FileImport, place: Checkpoint) -> None:
    kept.size, kept.lines, kept.digest = place.size, place.lines, place.digest


def _keep_place(kept: FileImport, place: Checkpoint, taken: BatchResult) -> None:
    _go_to(kept, place)
    for what, number in taken.counts().items():
        setattr(kept, what, getattr(kept, what) + number)
    kept.save()


def _finish(kept: FileImport, how: ImportOptions) -> None:
    if kept.pk is not None and not how.options.dry_run:
        kept.finished_at = timezone.now()
        kept.save()


@contextmanager
def _alone(file: EventFile, how: ImportOptions) -> Iterator[None]:
    """Let no other import of the same file by this sender run. Raises FileFailed when one does."""
    key = hashlib.blake2b(how.sender.encode() + b"\0" + file.head(), digest_size=8).digest()
    lock = [int.from_bytes(key, signed=True)]
    deadline = time.monotonic() + LOCK_TIMEOUT
    while not _ask("SELECT pg_try_advisory_lock(%s)", lock):
        if time.monotonic() > deadline:
            raise ImportFileError("is being imported already, by another process")
        time.sleep(0.2)
    try:
        yield
    finally:
        with suppress(Error):  # a connection that died has left the lock
            _ask("SELECT pg_advisory_unlock(%s)", lock)


def _ask(query: str, parameters: Sequence[int]) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return bool(cursor.fetchone()[0])
