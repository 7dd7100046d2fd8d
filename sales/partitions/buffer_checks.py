"""Find out whether PostgreSQL's buffers are large enough for the indexes of a month."""

from collections.abc import Iterator

from django.core.checks import CheckMessage, Warning  # noqa: A004
from django.db import connection

MAX_INDEXES = 1  # of the size of the buffers
LARGEST_MONTH = r"""
    SELECT relid::regclass::text, pg_size_pretty(size), current_setting('shared_buffers')
    FROM pg_partition_tree('sales'), pg_indexes_size(relid) AS size
    WHERE relid::regclass::text ~ '^sales_\d+_\d+$'
        AND size > %s * pg_size_bytes(current_setting('shared_buffers'))
    ORDER BY size DESC LIMIT 1
    """
HINT = "Set shared_buffers to a quarter of the memory of PostgreSQL's machine. If it is that, add memory."


def check_buffers() -> Iterator[CheckMessage]:
    """Yield sales.W003 if the indexes that each sale of a month changes do not fit into PostgreSQL's buffers."""
    with connection.cursor() as cursor:
        cursor.execute(LARGEST_MONTH, [MAX_INDEXES])
        for month, size, buffers in cursor:
            message = f"the indexes of {month} have {size}, and PostgreSQL's buffers {buffers}, so sales go in slowly"
            yield Warning(message, hint=HINT, id="sales.W003")
