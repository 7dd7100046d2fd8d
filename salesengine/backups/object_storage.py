"""Copy backups to and from an object store: s3://bucket/path, gs://bucket/path or az://container/path.

    NAME.tar     the backup
    NAME.json    its manifest; written last and deleted first, so that what is interrupted does not look complete

The credentials come from the variables of the store, such as AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT.
"""

import errno
import os
import re
import tarfile
import tempfile
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from salesengine.backups.manifests import MANIFEST, Backup, BackupError, BackupUsageError, DamagedBackupError
from salesengine.operations.progress import progress

SCHEMES = ("s3://", "gs://", "az://")
MANIFEST_NAME = re.compile(r"\d{8}T\d{6}Z\.json")


def folder_or_url(text: str) -> Path | str:
    """Return the URL of an object store as text, and a path as Path. Usable as an argparse type."""
    if text.startswith(SCHEMES):
        return text
    if "://" in text:
        raise ArgumentTypeError(f"{text!r} is neither a folder nor a URL with {', '.join(SCHEMES)}")
    return Path(text)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder for a backup on its way to or from a store. TMPDIR chooses the disk.

    Raises BackupUsageError if TMPDIR is not a writable folder. Python alone would silently use another disk.
    """
    chosen = os.environ.get("TMPDIR") or None
    try:
        folder = tempfile.TemporaryDirectory(prefix="salesengine-", dir=chosen)
    except OSError as error:
        if chosen is None or error.errno == errno.ENOSPC:
            raise BackupError(f"No temporary folder can be made: {error.strerror}") from None
        raise BackupUsageError(f"TMPDIR is {chosen}, where no folder can be made: {error.strerror}") from None
    with folder as name:
        yield Path(name)


@contextmanager
def local_folder(folder: Path | str) -> Iterator[Path]:
    """Yield a folder of backups, or a temporary one with the newest backup of an object store."""
    if isinstance(folder, Path):
        yield folder
        return
    with temporary_folder() as local:
        _download_newest(folder, local)
        yield local


@contextmanager
def opened(url: str) -> Iterator[ObjectStore]:
    """Yield the store. Its errors become BackupError."""
    try:
        yield from_url(url)
    except (BaseError, ValueError, OSError) as error:
        raise BackupError(f"{url}: {error}") from None


def list_uploads(url: str) -> list[str]:
    """Return the names of the complete backups in a store, from the oldest to the newest. Raises BackupError.

    Other files, such as archives of sales, may lie beside and below them.
    """
    with opened(url) as store:
        paths = [file["path"] for file in obstore.list_with_delimiter(store)["objects"]]
    return sorted(path.removesuffix(".json") for path in paths if MANIFEST_NAME.fullmatch(path))


def upload(folder: Path, backup: Backup, url: str) -> None:
    """Copy a backup to a store, as one stream. Raises BackupError."""
    source = folder / backup.name
    with opened(url) as store:
        paths = sorted(source.rglob("*"))
        with (
            obstore.open_writer(store, f"{backup.name}.tar") as writer,
            tarfile.open(fileobj=cast(IO[bytes], writer), mode="w|") as archive,
            progress("Uploading files", len(paths)) as advance,
        ):
            for path in paths:
                archive.add(path, path.relative_to(source), recursive=False)
                advance(1)
        obstore.put(store, f"{backup.name}.json", (source / MANIFEST).read_bytes())


def delete_old_uploads(url: str, keep: int) -> list[str]:
    """Keep the newest `keep` backups in a store. Return the names of the deleted ones."""
    deleted = list_uploads(url)[:-keep]
    with opened(url) as store:
        for name in deleted:
            obstore.delete(store, f"{name}.json")
            obstore.delete(store, f"{name}.tar")
    return deleted


def _download_newest(url: str, folder: Path) -> None:
    names = list_uploads(url)
    if not names:
        raise BackupUsageError(f"{url} has no backup.")
    with opened(url) as store:
        reader = obstore.open_reader(store, f"{names[-1]}.tar")
        try:
            with tarfile.open(fileobj=cast(IO[bytes], reader), mode="r|") as archive:
                archive.extractall(folder / names[-1], filter="data")
        except tarfile.TarError as error:
            raise DamagedBackupError(f"{url}/{names[-1]}.tar is damaged: {error}") from None
