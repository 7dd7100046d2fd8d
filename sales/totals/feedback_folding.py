"""The feedback's journal, and the folds that move its entries into totals.

A journal entry holds what one batch adds to one category and day of payment. The writer stores it in the transaction
that stores the sales. After the commit, every 256th entry requests a fold.
"""

import datetime
import logging
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

from sales.models import DailyTotal, JournalEntry, Total
from sales.totals import ingest_minutes
from sales.totals.figures import CategoryDay, Figures, Key, add_up
from sales.totals.fold_thread import request_fold
from sales.totals.isolation import try_fold_lock
from salesengine.exact_json import encode_json
from salesengine.operations.metrics import FOLD_SECONDS

FOLD_INTERVAL = 256  # journal entries
FOLD_LIMIT = 20_000  # journal entries per fold
LONG_BACKLOG = 10_000  # journal entries: if another session prevents folds, a warning says so
WARNING_INTERVAL = 60  # seconds

logger = logging.getLogger(__name__)

_warned_at = -math.inf  # on the monotonic clock, in this process

CategoryTotal = tuple[str | None, None]  # the key of a category's figures of all time, instead of CategoryDay

# Figures are sent to PostgreSQL as JSON, at a third of the cost of model instances. `journal_entries` makes the
# parameter.
ENTRIES = "json_to_recordset(%s) AS entry (category text, day date, sales_count bigint, revenue numeric)"
APPEND_TO_JOURNAL = f"""
    INSERT INTO feedback_journal (category, day, sales_count, revenue)
    SELECT category, day, sales_count, revenue FROM {ENTRIES}
    RETURNING id
    """  # noqa: S608  # no values
WRITE_DAILY_TOTALS = f"""
    INSERT INTO feedback_daily_total (category, day, sales_count, revenue)
    SELECT category, day, sales_count, revenue FROM {ENTRIES}
    ON CONFLICT (day, category) DO UPDATE SET sales_count = excluded.sales_count, revenue = excluded.revenue
    """  # noqa: S608  # no values
WRITE_TOTALS = f"""
    INSERT INTO feedback_total (category, sales_count, revenue, received_at)
    SELECT category, sales_count, revenue, %s FROM {ENTRIES}
    ON CONFLICT (category) DO UPDATE SET sales_count = excluded.sales_count, revenue = excluded.revenue,
        received_at = greatest(feedback_total.received_at, excluded.received_at)
    """  # noqa: S608  # no values
# One statement reads and deletes, so that exactly the rows that were read are deleted.
TAKE_FROM_JOURNAL = """
    DELETE FROM feedback_journal WHERE id IN (SELECT id FROM feedback_journal ORDER BY id LIMIT %s)
    RETURNING category, day, sales_count, revenue, received_at
    """


def journal_entries(figures: Mapping[CategoryDay, Figures] | Mapping[CategoryTotal, Figures]) -> str:
    """Return figures by category and day as the JSON that APPEND_TO_JOURNAL takes."""
    entries = [
        {"category": category, "day": day, "sales_count": count, "revenue": revenue}
        for (category, day), (count, revenue) in figures.items()
    ]
    return encode_json(entries).decode()


def fold_if_due(entry_ids: Iterable[int]) -> None:
    """Request a fold if one of these new entries is a 256th, so that the journal stays short."""
    if any(entry_id % FOLD_INTERVAL == 0 for entry_id in entry_ids):
        request_fold(fold_all)


def fold_all() -> None:
    """Move all journal entries into the totals, unless another session folds or holds folds back."""
    global _warned_at
    while (moved := fold()) == FOLD_LIMIT:
        pass
    if moved or time.monotonic() < _warned_at + WARNING_INTERVAL:
        return
    if (backlog := JournalEntry.objects.count()) >= LONG_BACKLOG:
        _warned_at = time.monotonic()
        logger.warning("Folds are held back: feedback slows down, because %s journal entries wait", f"{backlog:,}")


@FOLD_SECONDS.labels("feedback").time()
def fold() -> int:
    """Move up to FOLD_LIMIT journal entries into the totals and return their number.

    Returns 0 at once while another fold runs.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        if not try_fold_lock(cursor):
            return 0
        cursor.execute(TAKE_FROM_JOURNAL, [FOLD_LIMIT])
        entries = cursor.fetchall()
        daily = add_up(((category, day), count, revenue) for category, day, count, revenue, _ in entries)
        old_daily = DailyTotal.objects.filter(day__in={day for _, day in daily})
        write_totals(
            add_old_figures(daily, daily_figures(old_daily)),
            add_old_figures(sum_over_days(daily), overall_figures(Total.objects.all())),
            newest=max((received_at for *_, received_at in entries), default=None),
        )
        ingest_minutes.fold((received_at, count) for _, _, count, _, received_at in entries)
    return len(entries)


def add_old_figures(new: Mapping[Key, Figures], old: Iterable[tuple[Key, int, Decimal]]) -> dict[Key, Figures]:
    """Add the old rows to the new figures that have the same key."""
    rows = [(key, *figures) for key, figures in new.items()]
    return add_up(rows + [row for row in old if row[0] in new])


def daily_figures(source: QuerySet[Any]) -> Iterator[tuple[CategoryDay, int, Decimal]]:
    """Yield the rows of daily totals, or of the journal, for `add_up`."""
    rows = source.values_list("category", "day", "sales_count", "revenue")
    return (((category, day), count, revenue) for category, day, count, revenue in rows)


def overall_figures(source: QuerySet[Any]) -> Iterator[tuple[CategoryTotal, int, Decimal]]:
    """Yield the rows of totals, or of the journal, for `add_up`, without regard to days."""
    rows = source.values_list("category", "sales_count", "revenue")
    return (((category, None), count, revenue) for category, count, revenue in rows)


def sum_over_days(daily: Mapping[CategoryDay, Figures]) -> dict[CategoryTotal, Figures]:
    return add_up(((category, None), *figures) for (category, _), figures in daily.items())


def write_totals(
    daily: Mapping[CategoryDay, Figures], overall: Mapping[CategoryTotal, Figures], newest: datetime.datetime | None
) -> None:
    """Insert or replace totals. `newest` is when the newest of their sales was received."""
    with connection.cursor() as cursor:
        cursor.execute(WRITE_DAILY_TOTALS, [journal_entries(daily)])
        cursor.execute(WRITE_TOTALS, [newest, journal_entries(overall)])
