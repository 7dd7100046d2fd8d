"""Find out whether PostgreSQL's buffers are large enough for the indexes of the newest months."""

import datetime
from collections.abc import Iterator

from django.core.checks import CheckMessage, Warning  # noqa: A004
from django.db import connection
from django.utils import timezone

from sales.partitions.months import Month

MAX_INDEXES = 1  # of the size of the buffers
TOO_LARGE = """
    SELECT name, pg_size_pretty(size), current_setting('shared_buffers')
    FROM unnest(%s::text[]) AS name, pg_indexes_size(to_regclass(name)) AS size
    WHERE size > %s * pg_size_bytes(current_setting('shared_buffers'))
    """
HINT = "Set shared_buffers to a quarter of the memory of PostgreSQL's machine. If it is that, give the machine more."


def check_buffers() -> Iterator[CheckMessage]:
    """Yield sales.W003 for this month and for the last, if the indexes of its sales do not fit into the buffers."""
    first_day = timezone.now().date().replace(day=1)
    months = [Month.of(first_day - datetime.timedelta(days=1)), Month.of(first_day)]
    with connection.cursor() as cursor:
        cursor.execute(TOO_LARGE, [[month.table for month in months], MAX_INDEXES])
        for month, size, buffers in cursor:
            message = f"the indexes of {month} take {size}, but PostgreSQL's buffers have {buffers}: sales go in slowly"
            yield Warning(message, hint=HINT, id="sales.W003")
