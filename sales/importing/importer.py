"""Import files into the database batch by batch. One transaction stores a batch and the checkpoint at its end."""

import hashlib
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TypeVar

from django.db import Error, connection, transaction
from django.utils import timezone

from sales.importing.event_file import EventFile, FileBatch
from sales.importing.sources import START, Checkpoint, ImportFileError
from sales.ingest.schema import ValidationResult
from sales.ingest.service import BatchContext, BatchResult, IngestOptions, store_batch
from sales.models import FileImport
from salesengine.plurals import counted

Item = TypeVar("Item")

LOCK_TIMEOUT = 10  # seconds to wait for another import of the same file; a killed import frees its lock soon


@dataclass(frozen=True)
class ImportOptions:
    """How files are imported."""

    sender: str
    format_and_columns: str  # as FileImport stores them
    ingest: IngestOptions
    again: bool = False  # import even what was imported earlier


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


def import_file(
    file: EventFile, options: ImportOptions, summary: ImportSummary, advance: Callable[[int], None]
) -> None:
    """Import what earlier imports have not stored.

    Updates `summary` after each batch, and calls `advance` with the amount read since the last call.
    Raises ImportFileError, InvalidEvents and EventConflict (unless bad events are skipped), and django.db.Error. The
    batches before the failure stay stored.
    """
    start, done = time.monotonic(), 0
    try:
        # A dry run must not make an import wait.
        with nullcontext() if options.ingest.dry_run else _exclusive_lock(file, options):
            checkpoint, file_import = _resume(file, options)
            summary.before = checkpoint.lines
            validated = _validated(file.batches(checkpoint), skip=options.ingest.skip)
            with closing(prefetch(validated)) as batches:
                for batch, checked in batches:
                    _store(batch, checked, options, file_import, summary)
                    advance(batch.done - done)
                    done = batch.done
            _finish(file_import, options)
    finally:
        summary.seconds = round(time.monotonic() - start, 3)


# Batches


def _validated(batches: Iterable[FileBatch], *, skip: bool) -> Iterator[tuple[FileBatch, ValidationResult]]:
    """Yield the batches with their errors. Unless bad events are skipped, the first batch that has errors is the last.

    Reading on would only delay the failure, for as long as a pipe is idle.
    """
    for batch in batches:
        checked = batch.content.validate(count_only=not skip)
        yield batch, checked
        if checked.errors and not skip:
            return


def prefetch(items: Iterator[Item]) -> Generator[Item, None, None]:
    """Yield the same items, computing the next one in a thread while the caller works on the current one."""
    with ThreadPoolExecutor(1) as executor:
        upcoming = executor.submit(next, items, None)
        while (item := upcoming.result()) is not None:
            upcoming = executor.submit(next, items, None)
            yield item


def _store(
    batch: FileBatch, checked: ValidationResult, options: ImportOptions, file_import: FileImport, summary: ImportSummary
) -> None:
    if checked.errors and not options.ingest.skip:
        raise batch.content.validation_error(checked)
    with transaction.atomic():
        stored = store_batch(batch.content, checked, BatchContext(options.sender, file_import.name, options.ingest))
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
    known = FileImport.objects.filter(sender=options.sender, format_and_columns=options.format_and_columns)
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


# The lock


@contextmanager
def _exclusive_lock(file: EventFile, options: ImportOptions) -> Iterator[None]:
    """Prevent other imports of the same file by the same sender, even if it grows. Other files may begin the same.

    Holds the longest prefix alone and shares the shorter ones. Raises ImportFileError if such an import is running.
    """
    sender = options.sender.encode() + b"\0"
    keys = [hashlib.blake2b(sender + prefix, digest_size=8).digest() for prefix in file.prefixes()]
    locks = [(int.from_bytes(key, signed=True), "_shared") for key in keys[:-1]]
    locks += [(int.from_bytes(key, signed=True), "") for key in keys[-1:]]
    deadline = time.monotonic() + LOCK_TIMEOUT
    with ExitStack() as held:
        while not all(_try_lock(held, *lock) for lock in locks):
            held.close()
            if time.monotonic() > deadline:
                raise ImportFileError("is already being imported by another process")
            time.sleep(0.2)
        yield


def _try_lock(held: ExitStack, key: int, mode: str) -> bool:
    """Take an advisory lock until `held` is closed. Return False at once if another session prevents it."""
    is_locked = _call(f"SELECT pg_try_advisory_lock{mode}(%s)", key)
    if is_locked:
        held.callback(_unlock, key, mode)
    return is_locked


def _unlock(key: int, mode: str) -> None:
    with suppress(Error):  # a lost connection has released the lock
        _call(f"SELECT pg_advisory_unlock{mode}(%s)", key)


def _call(statement: str, key: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(statement, [key])
        return bool(cursor.fetchone()[0])
