"""The values there are in a column that has an index, however many rows have each."""

from django.db import connection
from psycopg import sql

MOST_CHOICES = 200


def distinct_values(table: str, column: str, containing: str = "", most: int = MOST_CHOICES) -> list[str]:
    """The first values, in their order, that contain a text in capital or small letters.

    The index is read once for each value, not each row. (PostgreSQL's wiki, "Loose indexscan")
    """
    query = sql.SQL(
        """
        WITH RECURSIVE found AS (
            SELECT min({column}) AS value FROM {table}
            UNION ALL
            SELECT (SELECT min({column}) FROM {table} WHERE {column} > found.value)
            FROM found WHERE found.value IS NOT NULL
        )
        SELECT value FROM found
        WHERE value IS NOT NULL AND position(lower({containing}) IN lower(value)) > 0
        LIMIT {most}
        """
    ).format(
        table=sql.Identifier(table),
        column=sql.Identifier(column),
        containing=sql.Literal(containing),
        most=sql.Literal(most),
    )
    with connection.cursor() as cursor:
        cursor.execute(query)
        return [value for (value,) in cursor]
