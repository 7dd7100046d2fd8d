"""Django's PostgreSQL backend. While PostgreSQL is away, its pools refuse connections at once.

A pool lets each thread wait for some seconds. Threads that wait cannot serve other requests, such as health checks.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from django.db.backends.postgresql import base
from psycopg import OperationalError
from psycopg_pool import PoolTimeout

PROBE_INTERVAL = 1  # seconds


class Outage:
    """The time from the first connection that a pool could not provide until a probe connects."""

    def __init__(self) -> None:
        self._next_probe: float | None = None  # on the monotonic clock; None while PostgreSQL is there
        self._probing = Lock()

    @property
    def is_on(self) -> bool:
        return self._next_probe is not None

    def begin(self) -> None:
        """Begin the outage, unless it has begun. The next thread probes."""
        if not self.is_on:
            self._next_probe = 0

    @contextmanager
    def probe(self) -> Iterator[None]:
        """End the outage if the block raises nothing. Raises PoolTimeout if it is not this thread's turn to probe."""
        next_probe = self._next_probe
        if next_probe is None:
            yield
            return
        if time.monotonic() < next_probe or not self._probing.acquire(blocking=False):
            raise PoolTimeout("PostgreSQL was away less than a second ago")
        try:
            yield
            self._next_probe = None
        finally:
            if self.is_on:
                self._next_probe = time.monotonic() + PROBE_INTERVAL
            self._probing.release()


outage = Outage()  # of this process


class DatabaseWrapper(base.DatabaseWrapper):
    """Refuse connections from pools at once during an outage. One thread a second tries whether it is over."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if self.pool is None:
            return super().get_new_connection(conn_params)
        if outage.is_on and not self.pool.get_stats()["pool_available"]:
            with outage.probe():
                self.connect_directly(conn_params)
        try:
            return super().get_new_connection(conn_params)
        except (OperationalError, PoolTimeout):
            outage.begin()
            raise

    def connect_directly(self, conn_params: dict[str, Any]) -> None:
        """Connect without the pool, which waits longer and longer between its attempts."""
        self.Database.connect(**conn_params).close()
