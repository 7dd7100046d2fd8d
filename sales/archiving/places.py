"""Put archives into a folder or an object store: s3://bucket/path, gs://bucket/path or az://container/path.

sales-2021-01.parquet      the sales of a month
sales-2021-01.2.parquet    those that came in later, or another version of the month
sales-2021-01.json         the manifest of a file; written first, and never replaced: its name belongs to this SHA-256

A file never gets other bytes, because any database restored from a backup may have a record with its SHA-256.
"""

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import msgspec
import obstore
from django.db import connection
from obstore.exceptions import AlreadyExistsError

from sales.partitions.months import Month
from salesengine.backups.manifests import BackupUsageError, DamagedBackupError, locked
from salesengine.backups.object_storage import opened, temporary_folder
from salesengine.operations.files import sync

Place = Path | str  # a folder, or the URL of an object store
LOCK = ".sales.lock"  # in a folder


class MonthFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The manifest of a file. `digests` is as in `sales.archiving.files.Content`."""

    file: str
    month: str
    part: int
    sales: int
    revenue: Decimal
    digests: int
    first_payment: datetime.datetime
    last_payment: datetime.datetime
    columns: dict[str, str]
    bytes: int
    sha256: str
    version: str
    database: str
    written_at: datetime.datetime


def file_name(month: Month, part: int) -> str:
    return f"sales-{month}{'' if part == 1 else f'.{part}'}.parquet"


def manifest_name(file: str) -> str:
    return f"{file.removesuffix('.parquet')}.json"


def url_of(place: Place, name: str) -> str:
    return str(place.resolve() / name) if isinstance(place, Path) else f"{place.rstrip('/')}/{name}"


def database_name() -> str:
    """Return a text that no other database has, unless it is a copy of this one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT system_identifier || '/' || current_database() FROM pg_control_system()")
        name: str = cursor.fetchone()[0]
    return name


@contextmanager
def drafts(place: Place) -> Iterator[Path]:
    """Yield a folder for files on their way to a place. Raises BackupError while another process writes to a folder.

    That may be a copy of this database, which `archive_lock` does not stop.
    """
    if isinstance(place, Path):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(place, LOCK, "the archived sales"):
            yield place
        return
    with temporary_folder() as folder:
        yield folder


def publish(draft: Path, place: Place, name: str) -> None:
    """Give a file its final name in a place, where it is complete or absent. It survives a crash of the machine."""
    if isinstance(place, Path):
        sync(draft)
        draft.replace(place / name)
        sync(place)
        return
    with opened(place) as store:
        obstore.put(store, name, draft)


def publish_new(draft: Path, place: Place, name: str) -> bool:
    """Publish a small file, or return False if the place already has a file of this name.

    The caller holds the lock of a folder. An object store decides by itself which of two writers is first.
    """
    if isinstance(place, Path):
        if has_file(place, name):
            return False
        publish(draft, place, name)
        return True
    with opened(place) as store:
        try:
            obstore.put(store, name, draft, mode="create")
        except AlreadyExistsError:
            return False
    return True


def has_file(place: Place, name: str) -> bool:
    if isinstance(place, Path):
        return (place / name).exists()
    with opened(place) as store:
        try:
            obstore.head(store, name)
        except FileNotFoundError:
            return False
    return True


@contextmanager
def local_copy(place: Place, name: str) -> Iterator[Path]:
    """Yield the file of a place, or a temporary copy of it. Raises BackupUsageError if it does not exist."""
    if isinstance(place, Path):
        if not (place / name).is_file():
            raise BackupUsageError(f"{place} has no {name}.")
        yield place / name
        return
    with temporary_folder() as folder:
        with opened(place) as store, (folder / name).open("wb") as file:
            try:
                response = obstore.get(store, name)
            except FileNotFoundError:
                raise BackupUsageError(f"{place} has no {name}.") from None
            for block in response.stream():
                file.write(block)
        yield folder / name


def read_manifest(place: Place, file: str) -> MonthFile | None:
    """Return the manifest of a file, or None if it has none. Raises DamagedBackupError."""
    try:
        with local_copy(place, manifest_name(file)) as path:
            return msgspec.json.decode(path.read_bytes(), type=MonthFile)
    except BackupUsageError:
        return None
    except ValueError as error:  # not such JSON, or not UTF-8
        raise DamagedBackupError(f"{url_of(place, manifest_name(file))} is damaged: {error}") from None
