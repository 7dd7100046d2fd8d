"""Keep the planner's statistics of all of `sales`. Autovacuum keeps those of each partition only."""

import math

from django.db import connection

MIN_CHANGES = 1_000
GROWTH = 1.25


def analyze_if_grown(before: int, after: int) -> None:
    """Analyze `sales` whenever the number of changes has grown by a quarter. It samples 30,000 sales."""
    if after >= MIN_CHANGES and _step(before) < _step(after):
        with connection.cursor() as cursor:
            # Without ONLY, which is new in PostgreSQL 18, it analyzes each partition too.
            only = "ONLY" if cursor.connection.info.server_version >= 180000 else ""
            cursor.execute(f"ANALYZE {only} sales")


def _step(changes: int) -> int:
    return math.floor(math.log(changes, GROWTH)) if changes else 0
