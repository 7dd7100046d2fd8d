"""The file locks with which processes use, start and stop the private PostgreSQL (salesengine/embedded/server.py)."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from salesengine.embedded.programs import EmbeddedServerError

START_STOP_TIMEOUT = 200  # seconds; longer than a start that fails and the stop after it


def open_lock(path: Path) -> int:
    """Open a lock file. The lock ends when the file descriptor and its copies in forks are closed."""
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def try_lock(lock: int) -> bool:
    """Take the exclusive lock, unless another process holds it. Return whether that succeeded."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def start_stop_lock(local_dir: Path) -> Iterator[None]:
    """Hold the lock that lets one process at a time start, stop or upgrade the server.

    Raises EmbeddedServerError if another process holds it for too long.
    """
    lock = open_lock(local_dir / "postgres.turn")
    try:
        deadline = time.monotonic() + START_STOP_TIMEOUT
        while not try_lock(lock):
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"Another process has been starting, stopping or upgrading the database in {local_dir} for "
                    f"{START_STOP_TIMEOUT} seconds. Wait for it, or end it if it hangs."
                )
            time.sleep(0.05)
        yield
    finally:
        os.close(lock)
