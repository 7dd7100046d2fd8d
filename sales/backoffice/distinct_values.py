"""List the distinct values of an indexed column, at a cost that does not grow with the number of rows."""

from django.db import connection
from psycopg import sql

VALUE_LIMIT = 200
COUNTRY_LIMIT = 1_000


# PostgreSQL looks up the next value in the index instead of reading every row (PostgreSQL wiki, "Loose indexscan").
VALUES = """
    WITH RECURSIVE found AS (
        SELECT min({column}) AS value FROM {table}
        UNION ALL
        SELECT (SELECT min({column}) FROM {table} WHERE {column} > found.value)
        FROM found WHERE found.value IS NOT NULL
    )
    SELECT value FROM found WHERE value IS NOT NULL
    """


def distinct_values(table: str, column: str, containing: str = "", limit: int = VALUE_LIMIT) -> list[str]:
    """Return the first values, in order, that contain a text, without regard to case."""
    query = sql.SQL("{values} AND position(lower(%s) IN lower(value)) > 0 LIMIT %s").format(
        values=_values(table, column)
    )
    with connection.cursor() as cursor:
        cursor.execute(query, [containing, limit])
        return [value for (value,) in cursor]


def country_ids() -> list[str]:
    """Return the ids of sellers' and buyers' countries in sales, up to COUNTRY_LIMIT of each."""
    sides = [_values("sales", column) for column in ("id_seller_country", "id_buyer_country")]
    query = sql.SQL("({} LIMIT %s) UNION ({} LIMIT %s) ORDER BY value").format(*sides)
    with connection.cursor() as cursor:
        cursor.execute(query, [COUNTRY_LIMIT, COUNTRY_LIMIT])
        return [value for (value,) in cursor]


def _values(table: str, column: str) -> sql.Composed:
    return sql.SQL(VALUES).format(table=sql.Identifier(table), column=sql.Identifier(column))
