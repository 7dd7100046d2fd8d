"""Prevent two imports of the same file by the same sender at once, even if it grows.

Imports of other files that begin with the same bytes are allowed.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from django.db import Error, OperationalError, connection

from sales.importing.sources import ImportFileError

LOCK_TIMEOUT = 10  # seconds to wait for another import of the same file; a killed import frees its lock soon


@dataclass(frozen=True)
class FileLock:
    """A lock that a session holds, and that its process can share with its other sessions."""

    key: int  # of the lock on the longest prefix
    sharing_key: int  # of the lock that the transactions of the other sessions hold
    session: int  # the process id of the backend that holds `key`

    def keep_alive(self) -> None:
        """Use the session that holds the lock, because networks drop idle connections. Raises django.db.Error."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")

    def share(self) -> None:
        """Rely on the lock until the end of this transaction. Raises OperationalError if the lock is lost.

        If it is lost later, the next import of this file waits for this transaction.
        """
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [self.sharing_key])
            cursor.execute(
                """
                SELECT EXISTS (
                    SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = %s AND mode = 'ExclusiveLock' AND granted
                        AND objsubid = 1 AND classid::bigint << 32 | objid::bigint = %s
                )
                """,
                [self.session, self.key],
            )
            if not cursor.fetchone()[0]:
                raise OperationalError("the connection that locked the file is lost")


@contextmanager
def lock_file(prefixes: Sequence[bytes], sender: str) -> Iterator[FileLock | None]:
    """Hold the longest prefix alone and share the shorter ones. Yield None for an empty file.

    Raises ImportFileError if another import of the file is running.
    """
    keys = [_key(b"", sender, prefix) for prefix in prefixes]
    locks = [(key, "_shared") for key in keys[:-1]] + [(key, "") for key in keys[-1:]]
    deadline = time.monotonic() + LOCK_TIMEOUT
    with ExitStack() as held:
        while not all(_try_lock(held, *lock) for lock in locks):
            held.close()
            if time.monotonic() > deadline:
                raise ImportFileError("is already being imported by another process")
            time.sleep(0.2)
        yield _wait_for_lost_import(_key(b"sharing", sender, prefixes[-1]), keys[-1]) if keys else None


def _wait_for_lost_import(sharing_key: int, key: int) -> FileLock:
    """Wait for the transactions of an import whose lock is lost, and return this session's lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [sharing_key])
        cursor.execute("SELECT pg_advisory_unlock(%s), pg_backend_pid()", [sharing_key])
        return FileLock(key, sharing_key, cursor.fetchone()[1])


def _key(purpose: bytes, sender: str, prefix: bytes) -> int:
    digest = hashlib.blake2b(sender.encode() + b"\0" + prefix, digest_size=8, person=purpose).digest()
    return int.from_bytes(digest, signed=True)


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
