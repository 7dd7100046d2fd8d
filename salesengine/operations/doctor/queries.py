"""Read rows for the checks and the support bundle."""

from collections.abc import Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections


def query(statement: str, values: Sequence[Any] = (), alias: str = DEFAULT_DB_ALIAS) -> list[tuple[Any, ...]]:
    """Return the rows of a statement."""
    with connections[alias].cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())
