"""The values there are in a column that has an index, however many rows have each."""

from django.db import connection
from psycopg import sql

MOST_CHOICES = 200
MOST_COUNTRIES = 1_000


# The index is read once for each value, not each row. (PostgreSQL's wiki, "Loose indexscan")
VALUES = """
    WITH RECURSIVE found AS (
        SELECT min({column}) AS value FROM {table}
        UNION ALL
        SELECT (SELECT min({column}) FROM {table} WHERE {column} > found.value)
        FROM found WHERE found.value IS NOT NULL
    )
    SELECT value FROM found WHERE value IS NOT NULL
    """


def distinct_values(table: str, column: str, containing: str = "", most: int = MOST_CHOICES) -> list[str]:
    """The first values, in their order, that contain a text in capital or small letters."""
    query = sql.SQL("{values} AND position(lower(%s) IN lower(value)) > 0 LIMIT %s").format(
        values=_values(table, column)
    )
    with connection.cursor() as cursor:
        cursor.execute(query, [containing, most])
        return [value for (value,) in cursor]


def country_ids() -> list[str]:
    """The ids of countries that sales have, whether sellers' or buyers', as far as they are not too many to choose."""
    sides = [_values("sales", column) for column in ("id_seller_country", "id_buyer_country")]
    query = sql.SQL("({} LIMIT %s) UNION ({} LIMIT %s) ORDER BY value").format(*sides)
    with connection.cursor() as cursor:
        cursor.execute(query, [MOST_COUNTRIES, MOST_COUNTRIES])
        return [value for (value,) in cursor]


def _values(table: str, column: str) -> sql.Composed:
    return sql.SQL(VALUES).format(table=sql.Identifier(table), column=sql.Identifier(column))
