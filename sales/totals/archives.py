"""Tell which sales are archived, and refuse what needs them: totals count them, but `sales` does not have them."""

import datetime
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby

from django.db import connection, connections
from django.db.models import BigIntegerField

from sales.partitions.months import Month
from salesengine.http.errors import SalesArchived

# With a sender, only the sales that the ledger knows to be from it.
FIND_IDS = """
    WITH wanted AS (
        SELECT range_agg(int8range(id, id, '[]')) AS ids FROM unnest(%(ids)s::bigint[]) AS id
    )
    SELECT sale_id, month
    FROM archived_month, wanted, unnest(archived_month.sale_ids * ids) AS run,
        generate_series(lower(run), upper(run) - 1) AS sale_id
    WHERE archived_month.sale_ids && ids AND (%(sender)s::text IS NULL OR sale_id <@ (
        SELECT range_agg(ledger.sale_ids * ids) FROM ledger, wanted
        WHERE sender = %(sender)s AND voided = 0 AND ledger.sale_ids && ids
    ))
    """


def archived_months(
    first: datetime.date | None = None, last: datetime.date | None = None, *, using: str = "default"
) -> list[Month]:
    """Return the months that have archived sales, from the month of `first` to that of `last` (None: no limit)."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT DISTINCT month FROM archived_parts ORDER BY month")
        months = [Month.of(month) for (month,) in cursor]
    return [
        month
        for month in months
        if (first is None or Month.of(first) <= month) and (last is None or month <= Month.of(last))
    ]


def archived_sentence(months: Sequence[Month]) -> str:
    """Return "Sales paid in 2020-01 to 2020-03 and 2020-05 are archived", without a full stop; "" for no months."""
    if not months:
        return ""
    runs = [[month for _, month in run] for _, run in groupby(enumerate(months), _distance)]
    texts = [f"{run[0]} to {run[-1]}" if run[1:] else str(run[0]) for run in runs]
    return f"Sales paid in {' and '.join(filter(None, [', '.join(texts[:-1]), texts[-1]]))} are archived"


def _distance(numbered: tuple[int, Month]) -> int:
    """Return the same number for months that follow each other."""
    number, month = numbered
    return month.year * 12 + month.month - number


def archive_version(using: str) -> str:
    """Return a text that changes when sales are archived or brought back; "" if none are archived."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT coalesce(md5(string_agg(id::text, ',' ORDER BY id)), '') FROM archived_parts")
        version: str = cursor.fetchone()[0]
    return version


def find_archived(ids: Collection[int], sender: str | None = None) -> dict[int, Month]:
    """Return the months of those sales that are archived, by id; with a sender, of those that it is known to have sent.

    The ledger knows who sent a sale until its entry is purged.
    """
    ids = [each for each in ids if each < BigIntegerField.MAX_BIGINT]  # a range has the id after its last one
    if not ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(FIND_IDS, {"ids": ids, "sender": sender})
        return {sale_id: Month.of(month) for sale_id, month in cursor}


def refuse_archived(first_days: Iterable[str], parameters: Iterable[str]) -> None:
    """Raise SalesArchived if there are any archived months, of which only the figures of whole days are left.

    `first_days` are the first days of the months (ISO 8601), and `parameters` those that divide a day.
    """
    months = sorted({Month.of(datetime.date.fromisoformat(day)) for day in first_days})
    if months:
        detail = f"must not divide a day of {' or '.join(map(str, months))}"
        raise SalesArchived(
            [{"parameter": name, "detail": detail} for name in parameters],
            f"{archived_sentence(months)}, so only whole days can be counted. Send dates without times, or ask staff to"
            " bring the months back with manage.py restore_sales.",
        )
