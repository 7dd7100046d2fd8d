"""Track whether this process can reach PostgreSQL."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from psycopg_pool import PoolTimeout

logger = logging.getLogger(__name__)

PROBE_INTERVAL = 1  # seconds


class OutageContinues(PoolTimeout):
    """PostgreSQL was away less than a second ago. Not logged, because the thread that probes logs the reason."""


class Outage:
    """The time from the first connection that a pool could not provide until a probe connects."""

    def __init__(self) -> None:
        self._next_probe: float | None = None  # on the monotonic clock; None while PostgreSQL is there
        self._probing = Lock()
        self._refused = 0

    @property
    def is_on(self) -> bool:
        return self._next_probe is not None

    def begin(self) -> None:
        """Begin the outage, unless it has begun. The next thread probes."""
        if not self.is_on:
            self._next_probe, self._refused = 0, 0

    @contextmanager
    def probe(self) -> Iterator[None]:
        """End the outage if the block raises nothing. Raises OutageContinues if it is not this thread's turn."""
        next_probe = self._next_probe
        if next_probe is None:
            yield
            return
        if time.monotonic() < next_probe or not self._probing.acquire(blocking=False):
            self._refused += 1
            raise OutageContinues("PostgreSQL was away less than a second ago")
        try:
            yield
            self._next_probe = None
            logger.warning("The database is back; %d requests were refused meanwhile", self._refused)
        finally:
            if self.is_on:
                self._next_probe = time.monotonic() + PROBE_INTERVAL
            self._probing.release()


outage = Outage()  # of this process


class UnavailableFilter(logging.Filter):
    """Drop the traceback from Django's log records of 503 responses, and during an outage drop these records.

    The reason has been logged: during an outage once a second, otherwise for each response.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, "status_code", None) != 503:
            return True
        record.exc_info = None
        return not outage.is_on
