"""Limit the reports that run at the same time, so that threads and processors remain for other requests."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

from django.conf import settings

from analytics.running.errors import TooManyRuns
from salesengine.plurals import counted

slots = BoundedSemaphore(settings.REPORTS_AT_ONCE)  # of this process


@contextmanager
def slot() -> Iterator[None]:
    """Occupy a slot. Raises TooManyRuns at once if none is free, because a request that waits occupies a thread."""
    if not slots.acquire(blocking=False):
        limit = counted(settings.REPORTS_AT_ONCE, "report")
        raise TooManyRuns(f"This process runs {limit} at the same time (REPORTS_AT_ONCE). Run it again in a moment.")
    try:
        yield
    finally:
        slots.release()
