"""Import files into the database batch by batch. One transaction stores a batch and the checkpoint at its end."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from django.db import connection, transaction
from django.utils import timezone

from sales.importing.event_file import EventFile, FileBatch
from sales.importing.file_lock import FileLock, lock_file
from sales.importing.sources import START, Checkpoint, ImportFileError
from sales.ingest.schema import ValidationResult
from sales.ingest.service import BatchResult, IngestOptions, store_batch
from sales.models import FileImport
from sales.partitions.making import make_months
from sales.totals.ledger import Origin
from salesengine.database import retry_deadlocks
from salesengine.operations.progress import Advance
from salesengine.plurals import counted

Item = TypeVar("Item")
CheckedBatch = tuple[FileBatch, ValidationResult]

WRITERS = 2  # batches written at once


@dataclass(frozen=True)
class ImportOptions:
    """How files are imported."""

    sender: str
    ingest: IngestOptions
    again: bool = False  # import even what was imported earlier
    format_and_columns: str = ""  # as FileImport stores them; known once the file is open
    with_all_mappings: str = ""  # the same, with mappings that change nothing: some rows of FileImport have them too


@dataclass
class ImportSummary:
    """The result of importing one file so far."""

    file: str
    unit: str  # what `before` counts: "line" or "row"
    before: int = 0  # skipped, because earlier imports stored them
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0
    seconds: float = 0

    def __str__(self) -> str:
        events = self.accepted + self.duplicate + self.rejected
        if self.before and not events:
            return f"{self.file}: nothing to do, {counted(self.before, self.unit)} imported earlier"
        skipped = f", skipped {counted(self.before, self.unit)} imported earlier" if self.before else ""
        return (
            f"{self.file}: {self.accepted:,} accepted, {self.duplicate:,} duplicate, {self.rejected:,} rejected "
            f"in {self.seconds:,.1f} s, {events / max(self.seconds, 0.001):,.0f} events/s{skipped}"
        )


def import_file(file: EventFile, options: ImportOptions, summary: ImportSummary, advance: Advance) -> None:
    """Import what earlier imports have not stored.

    Updates `summary` after each batch, and calls `advance` with the amount read since the last call.
    Raises ImportFileError, InvalidEvents and EventConflict (unless bad events are skipped), and django.db.Error. The
    batches before the failure stay stored.
    """
    start, done = time.monotonic(), 0
    try:
        # A dry run must not make an import wait.
        with nullcontext() if options.ingest.dry_run else lock_file(file.prefixes(), options.sender) as lock:
            checkpoint, file_import = _resume(file, options)
            summary.before = checkpoint.lines
            validated = _validated(file.batches(checkpoint), skip=options.ingest.skip)
            store = partial(_store, options=options, file_import=file_import, summary=summary)
            with (
                closing(prefetch(validated, file.stop_reading)) as batches,
                closing(_store_in_order(batches, store, lock)) as stored,
            ):
                for batch in stored:
                    advance(batch.done - done)
                    done = batch.done
            _finish(file_import, options)
    finally:
        summary.seconds = round(time.monotonic() - start, 3)


# Batches


def _validated(batches: Iterable[FileBatch], *, skip: bool) -> Iterator[CheckedBatch]:
    """Yield the batches with their errors. Unless bad events are skipped, the first batch that has errors is the last.

    Reading on would only delay the failure, for as long as a pipe is idle.
    """
    for batch in batches:
        checked = batch.content.validate(count_only=not skip)
        yield batch, checked
        if checked.errors and not skip:
            return


def prefetch(items: Iterator[Item], stop: Callable[[], None]) -> Generator[Item, None, None]:
    """Yield the same items, computing the next one in a thread while the caller works on the current one.

    `stop` is called at the end, also at an error. It ends what the thread waits for.
    """
    with ThreadPoolExecutor(1) as executor:
        try:
            upcoming = executor.submit(next, items, None)
            while (item := upcoming.result()) is not None:
                upcoming = executor.submit(next, items, None)
                yield item
        finally:
            stop()


def _store_in_order(
    batches: Iterable[CheckedBatch], store: Callable[..., None], lock: FileLock | None
) -> Generator[FileBatch, None, None]:
    """Store the batches, and yield each one after its commit. They are committed in the order of the file.

    WRITERS batches are written at once, each on a connection of its own, because PostgreSQL writes a batch with one
    processor. A batch is written alone if it may fail or may wait for other transactions. So is the first one: a second
    one means that the file has all its prefixes, which `lock` needs.
    """
    running: deque[tuple[FileBatch, Future[None]]] = deque()
    with ThreadPoolExecutor(WRITERS) as writers:
        for number, (batch, checked) in enumerate(batches):
            together = lock and number and not connection.in_atomic_block and _cannot_wait(checked)
            while len(running) >= (WRITERS if together else 1):
                yield _committed(*running.popleft())
            if lock:
                lock.keep_alive()
                make_months({event["DATE_PAYMENT"].date() for event in checked.events}, patient=True)
            if together:
                previous = running[-1][1] if running else None
                running.append((batch, writers.submit(_store_in_thread, store, batch, checked, lock, previous)))
            else:
                store(batch, checked)
                yield batch
        while running:
            yield _committed(*running.popleft())


def _cannot_wait(checked: ValidationResult) -> bool:
    return not checked.errors and not any(event.get("EVENT_ID") for event in checked.events)


def _committed(batch: FileBatch, stored: Future[None]) -> FileBatch:
    stored.result()
    return batch


def _store_in_thread(store: Callable[..., None], *arguments: object) -> None:
    try:
        store(*arguments)
    finally:
        connection.close()  # return it to the pool


@retry_deadlocks
def _store(
    batch: FileBatch,
    checked: ValidationResult,
    lock: FileLock | None = None,
    previous: Future[None] | None = None,
    *,
    options: ImportOptions,
    file_import: FileImport,
    summary: ImportSummary,
) -> None:
    """Store a batch and its checkpoint in one transaction, which ends after that of the `previous` batch.

    Raises what the previous batch raised; then nothing is stored. `lock` is given to connections that do not hold it.
    """
    if checked.errors and not options.ingest.skip:
        raise batch.content.validation_error(checked)
    with transaction.atomic():
        if lock:
            lock.share()
        origin = Origin(options.sender, file_import.name)
        stored = store_batch(batch.content, checked, origin, options.ingest)
        if previous:
            previous.result()
        if not options.ingest.dry_run:
            _save_checkpoint(file_import, batch.end, stored)
    _add_counts(summary, stored)


def _add_counts(totals: FileImport | ImportSummary, stored: BatchResult) -> None:
    for name, number in stored.counts().items():
        setattr(totals, name, getattr(totals, name) + number)


# Checkpoints


def _resume(file: EventFile, options: ImportOptions) -> tuple[Checkpoint, FileImport]:
    """Return the checkpoint to start from and the FileImport to update. Raises ImportFileError."""
    prefixes = file.prefixes()
    either = (options.format_and_columns, options.with_all_mappings)
    known = FileImport.objects.filter(sender=options.sender, format_and_columns__in=either)
    if options.again:
        known = known.filter(is_again=True, finished_at=None)
    imports = {Checkpoint(row.size, row.lines, bytes(row.fingerprint)): row for row in known.order_by("pk")}
    checkpoint = file.latest_checkpoint(imports)
    if not options.again:
        alike = [row for row in imports.values() if set(prefixes[-1:]) & set(map(bytes, row.prefixes))]
        _check_not_cut_off(file, checkpoint, alike)
    if checkpoint != START and imports[checkpoint].finished_at is None and imports[checkpoint].name == file.name:
        return checkpoint, imports[checkpoint]
    # A finished import is never changed, so that a copy of the file as it was then is still recognized.
    new = FileImport(
        sender=options.sender,
        format_and_columns=options.format_and_columns,
        name=file.name,
        is_again=options.again,
        prefixes=prefixes,
    )
    _set_checkpoint(new, checkpoint)
    return checkpoint, new


def _check_not_cut_off(file: EventFile, checkpoint: Checkpoint, alike: Sequence[FileImport]) -> None:
    """Raise ImportFileError if the file ends within what was imported of a file that begins alike.

    A copy of the file as it was at `checkpoint` has nothing to import.
    """
    longest = max(alike, key=lambda row: row.size, default=None)
    if longest and file.is_shorter_than(longest.size) and not file.is_shorter_than(checkpoint.size + 1):
        raise ImportFileError(
            f"begins like {longest.name}, of which {counted(longest.lines, file.unit)} were imported, but ends before "
            "that, so it may be cut off. Import the complete file. If this is the complete file, import it with "
            f"--again, which stores all its {file.unit}s, even those that were imported before"
        )


def _set_checkpoint(file_import: FileImport, checkpoint: Checkpoint) -> None:
    file_import.size, file_import.lines = checkpoint.size, checkpoint.lines
    file_import.fingerprint = checkpoint.fingerprint


def _save_checkpoint(file_import: FileImport, checkpoint: Checkpoint, stored: BatchResult) -> None:
    _set_checkpoint(file_import, checkpoint)
    _add_counts(file_import, stored)
    file_import.save()


def _finish(file_import: FileImport, options: ImportOptions) -> None:
    if file_import.pk is not None and not options.ingest.dry_run:
        file_import.finished_at = timezone.now()
        file_import.save()
