"""What the partitions of `sales` hold."""

from django.db import connection

from sales.partitions.months import PARTITIONS


def partitions() -> dict[str, int]:
    """Return the number of sales in each partition that has any."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text, count(*) FROM sales GROUP BY 1 ORDER BY 1")
        return dict(cursor.fetchall())


def partition_names() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(PARTITIONS)
        return {name for name, *_ in cursor}


def drop_months() -> None:
    """Drop the partitions of all months, so that a test begins without them."""
    with connection.cursor() as cursor:
        for name in partition_names() - {"sales_other"}:
            cursor.execute(f"DROP TABLE {name}")
