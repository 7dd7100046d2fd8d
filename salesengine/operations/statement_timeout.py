"""Limit how long each query of a transaction may take."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.db import OperationalError, connection, transaction

from salesengine.http.errors import TookTooLong
from salesengine.http.problem_types import TOOK_TOO_LONG

WORK_MEM = "64MB"  # enough for a bitmap scan of many sales to remember rows instead of whole pages


class StatementTimedOut(TookTooLong, problem=TOOK_TOO_LONG):
    """The database cancelled a query that reached the statement timeout."""


@contextmanager
def statement_timeout(seconds: float) -> Iterator[None]:
    """Run the block in a transaction whose queries may take `seconds` each.

    Raises StatementTimedOut, and OperationalError for a query that somebody cancelled.
    """
    started = time.monotonic()
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                # JIT compilation takes longer than most of these queries.
                cursor.execute(
                    "SELECT set_config('statement_timeout', %s, true), set_config('work_mem', %s, true), "
                    "set_config('jit', 'off', true)",
                    [f"{seconds * 1000:.0f}", WORK_MEM],
                )
            yield
    except OperationalError as error:
        # PostgreSQL says the reason only in its own language.
        is_cancelled = isinstance(error.__cause__, psycopg.errors.QueryCanceled)
        if is_cancelled and time.monotonic() - started >= seconds:
            raise StatementTimedOut from None
        raise
