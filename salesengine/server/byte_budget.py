"""Limit the bytes of large requests that this process receives and works on at once: INGEST_MAX_BYTES_AT_ONCE."""

import threading

from django.conf import settings

SMALL = 65_536  # bytes: large requests never keep out smaller ones


class ByteShare:
    """What one request takes of INGEST_MAX_BYTES_AT_ONCE, because a body needs about ten times its size in memory."""

    _lock = threading.Lock()
    _total = 0  # bytes, of all shares of this process

    def __init__(self) -> None:
        self.size = 0

    def resize(self, size: int) -> bool:
        """Set the size in bytes. Return whether it fits; if not, the share keeps its size.

        A share that is the only one may have any size, and a request of at most SMALL bytes has none.
        """
        size = size if size > SMALL else 0
        if size == self.size:
            return True
        with self._lock:
            others = ByteShare._total - self.size
            if size > self.size and others and others + size > settings.INGEST_MAX_BYTES_AT_ONCE:
                return False
            ByteShare._total, self.size = others + size, size
        return True
