"""Sync files and folders to disk, and compute the digests of files."""

import hashlib
import os
from pathlib import Path


def sync(path: Path) -> None:
    """Write a file or folder to disk, so that it survives a crash of the machine."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 digest of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
