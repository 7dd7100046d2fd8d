"""List the distinct values of a column, at a cost that does not grow with the number of rows."""

from django.db import connection
from psycopg import sql

VALUE_LIMIT = 200

# PostgreSQL looks up the next value in the index instead of reading every row (PostgreSQL wiki, "Loose indexscan").
VALUES = """
    WITH RECURSIVE found AS (
        SELECT min({column}) AS value FROM {table}
        UNION ALL
        SELECT (SELECT min({column}) FROM {table} WHERE {column} > found.value)
        FROM found WHERE found.value IS NOT NULL
    )
    SELECT value FROM found WHERE value IS NOT NULL LIMIT %s
    """
# Folds keep the table `brand`. The brands of the newest sales are still in the ledger.
BRANDS = """
    SELECT name FROM brand WHERE position(lower(%(part)s) IN lower(name)) > 0
    UNION
    SELECT name COLLATE "C" FROM ledger, unnest(brands) AS name
    WHERE ledger.position IS NULL AND position(lower(%(part)s) IN lower(name)) > 0
    ORDER BY name
    LIMIT %(limit)s
    """


def distinct_values(table: str, column: str) -> list[str]:
    """Return the first values of an indexed column, in order. The table must not be a distributed one."""
    query = sql.SQL(VALUES).format(table=sql.Identifier(table), column=sql.Identifier(column))
    with connection.cursor() as cursor:
        cursor.execute(query, [VALUE_LIMIT])
        return [value for (value,) in cursor]


def brands_of_sales(containing: str, limit: int) -> list[str]:
    """Return the first brands, in order, that contain a text, without regard to case."""
    with connection.cursor() as cursor:
        cursor.execute(BRANDS, {"part": containing, "limit": limit})
        return [name for (name,) in cursor]
