"""Queries that end when they take too long."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.db import OperationalError, connection, transaction

WORK_MEM = "64MB"  # a bitmap of many sales then knows each one of them, not just their pages


class StatementTimedOut(Exception):  # noqa: N818  # it says what happened
    """The database was stopped before it had an answer."""


@contextmanager
def statement_timeout(seconds: float) -> Iterator[None]:
    """A transaction of which each query may take so long. Raises StatementTimedOut."""
    try:
        with transaction.atomic():
            set_statement_timeout(seconds)
            yield
    except OperationalError as error:
        if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
            raise StatementTimedOut from None
        raise


def set_statement_timeout(seconds: float) -> None:
    """From now on each query of this transaction may take so long."""
    with connection.cursor() as cursor:
        # Compiling a plan takes longer than most of these queries do.
        cursor.execute(
            "SELECT set_config('statement_timeout', %s, true), set_config('work_mem', %s, true), "
            "set_config('jit', 'off', true)",
            [f"{seconds * 1000:.0f}", WORK_MEM],
        )
