"""Fold the ledger: stamp its entries with positions, and add each one to every total exactly once.

Feedback is added up in Python, the figures by country in SQL. All of a fold is one transaction under one lock, so
that readers, which read totals and unfolded entries in one statement, count each committed sale once.

A fold appends rows to the daily totals by country, because an append costs a tenth of an update. When a day has many
rows, they are merged afterwards.
"""

import datetime
import logging
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import accumulate
from typing import Any, NamedTuple

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import BigIntegerField, QuerySet
from psycopg.types.datetime import TimestamptzLoader

from sales.models import DailyTotal, LedgerEntry, Total
from sales.partitions import making
from sales.partitions.statistics import analyze_if_grown
from sales.totals import ingest_minutes
from sales.totals.figures import ZERO, CategoryDay, Figures, Key, add_up
from sales.totals.fold_thread import request_fold
from sales.totals.isolation import lock_folds
from sales.totals.ledger import SELECT_DUE, DueEntry, Tally, read_tallies, stamped_position
from salesengine.distribution import FEW_CONNECTIONS, is_distributed
from salesengine.exact_json import encode_json
from salesengine.operations.metrics import FOLD_SECONDS

# Entries between two folds, because readers add up all unfolded ones. An entry with as many tallies is folded soon.
FOLD_INTERVAL = 256
SALES_INTERVAL = 20_000  # sales between two folds: a larger interval writes fewer rows of the totals by country
MAX_ENTRIES = 20_000  # in one fold
MAX_SALES = 100_000  # in one fold, apart from the rest of its last entry
MERGE_LIMIT = 16  # days after each fold
PURGE_LIMIT = 1_000  # entries after each fold
LONG_BACKLOG = 10_000  # entries: if another session prevents folds, a warning says so
WARNING_INTERVAL = 60  # seconds
# Seconds between the attempts of a fold while sales are not visible yet.
VISIBILITY_PAUSES = (0.02, 0.05, 0.1, 0.2, 0.5, 1)

logger = logging.getLogger(__name__)

_warned_at = -math.inf  # on the monotonic clock, in this process

AllTimeKey = tuple[str | None, None]  # the key of a category's figures of all time, instead of CategoryDay

# What each country sold and bought, from rows of {sums} that have a seller's and a buyer's country.
BY_COUNTRY = """
    SELECT id_country, SUM(sold_count)::bigint AS sold_count, SUM(sold_revenue) AS sold_revenue,
        SUM(bought_count)::bigint AS bought_count, SUM(bought_revenue) AS bought_revenue
    FROM (
        SELECT id_seller_country AS id_country, SUM(sales_count) AS sold_count, SUM(revenue) AS sold_revenue,
            0 AS bought_count, 0 AS bought_revenue
        FROM {sums}
        GROUP BY id_seller_country
        UNION ALL
        SELECT id_buyer_country, 0, 0, SUM(sales_count), SUM(revenue) FROM {sums} GROUP BY id_buyer_country
    ) AS sides
    GROUP BY id_country
    """
ADD_TO_TOTALS = """
    INSERT INTO country_total AS known (id_country, sold_count, sold_revenue, bought_count, bought_revenue)
    """
STAMP = f"""
    WITH stamped AS (
        UPDATE ledger SET position = new.position, tallies = NULL, brands = NULL
        FROM unnest(%(ids)s::bigint[], %(positions)s::bigint[]) AS new (id, position)
        WHERE ledger.id = new.id
    ), new_brands AS (
        INSERT INTO brand (name, first_seen)
        SELECT name, MIN(received_at) FROM ledger, unnest(brands) AS name WHERE id = ANY(%(ids)s) GROUP BY name
        ON CONFLICT DO NOTHING
    ), found AS MATERIALIZED (
        SELECT day, id_seller_country, id_buyer_country,
            COUNT(*) AS found_count, SUM(sales_count)::bigint AS sales_count, SUM(revenue) AS revenue
        FROM ledger_sales
        WHERE entry_id = ANY(%(ids)s)
        GROUP BY day, id_seller_country, id_buyer_country
    ), added AS (
        INSERT INTO country_daily_total (day, id_seller_country, id_buyer_country, sales_count, revenue)
        SELECT day, id_seller_country, id_buyer_country, sales_count, revenue
        FROM found
        WHERE sales_count <> 0 OR revenue <> 0
        RETURNING day, id_seller_country, id_buyer_country, sales_count, revenue
    ), counted AS (
        INSERT INTO country_day AS known (day, row_count, merged_count)
        SELECT day, COUNT(*), 0 FROM added GROUP BY day
        ON CONFLICT (day) DO UPDATE SET row_count = known.row_count + excluded.row_count
    ), all_time AS (
        {ADD_TO_TOTALS} {BY_COUNTRY.format(sums="added")}
        ON CONFLICT (id_country) DO UPDATE SET
            sold_count = known.sold_count + excluded.sold_count,
            sold_revenue = known.sold_revenue + excluded.sold_revenue,
            bought_count = known.bought_count + excluded.bought_count,
            bought_revenue = known.bought_revenue + excluded.bought_revenue
    )
    SELECT coalesce(SUM(found_count), 0)::bigint, coalesce(SUM(sales_count), 0)::bigint, coalesce(SUM(revenue), 0)
    FROM found
    """  # noqa: S608  # no values
# The more rows a day has, the more must be added before it is merged again, so each row is merged about once.
DAYS_TO_MERGE = "SELECT day FROM country_day WHERE row_count > 4 * merged_count + 1000 ORDER BY day LIMIT %s"
MERGE = """
    WITH removed AS (
        DELETE FROM country_daily_total
        WHERE day = %(day)s
        RETURNING day, id_seller_country, id_buyer_country, sales_count, revenue
    ), merged AS (
        INSERT INTO country_daily_total (day, id_seller_country, id_buyer_country, sales_count, revenue)
        SELECT day, id_seller_country, id_buyer_country, SUM(sales_count), SUM(revenue)
        FROM removed
        GROUP BY day, id_seller_country, id_buyer_country
        HAVING SUM(sales_count) <> 0
        RETURNING day
    ), counted AS (
        SELECT COUNT(*) AS row_count FROM merged
    )
    UPDATE country_day SET row_count = counted.row_count, merged_count = counted.row_count
    FROM counted
    WHERE day = %(day)s
    """
# The figures go to PostgreSQL as one JSON text.
ENTRIES = "json_to_recordset(%s) AS entry (category text, day date, sales_count bigint, revenue numeric)"
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
# Deletes the oldest positions, up to the first entry that is kept, so that the rest has no gaps. The newest position
# stays, because the next fold continues from it.
PURGE = """
    DELETE FROM ledger
    WHERE (SELECT MIN(received_at) FROM ledger) < now() - %(retention)s
        AND id IN (
            SELECT id
            FROM (
                SELECT id, MAX(received_at) OVER (ORDER BY position, id) AS newest
                FROM (
                    SELECT id, position, received_at
                    FROM ledger
                    WHERE position < %(last)s
                    ORDER BY position, id
                    LIMIT %(limit)s
                ) AS oldest
            ) AS ordered
            WHERE newest < now() - %(retention)s
        )
    """


def fold_if_due(entry_ids: Iterable[int], sale_ids: Sequence[int] = (), tallies: Sequence[Tally] = ()) -> None:
    """Request a fold after a commit, so that the unfolded entries stay few.

    A fold is due if an id of the new entries is a multiple of FOLD_INTERVAL, if the ascending ids of the new sales
    include a multiple of SALES_INTERVAL, if the entries have FOLD_INTERVAL tallies or more, or if a month of
    payment needs a partition.
    """
    is_interval = bool(sale_ids) and sale_ids[-1] // SALES_INTERVAL * SALES_INTERVAL >= sale_ids[0]
    if (
        is_interval
        or len(tallies) >= FOLD_INTERVAL
        or any(entry_id % FOLD_INTERVAL == 0 for entry_id in entry_ids)
        or making.is_due(tally.day for tally in tallies)
    ):
        request_fold(fold_all)


def fold_all(*, wait: bool = False) -> None:
    """Fold all entries that are committed by now.

    While another session folds or holds folds back, return at once, or `wait` for it.
    """
    global _warned_at
    moved, is_limited = fold(wait=wait)
    if moved == 0 and not wait and time.monotonic() >= _warned_at + WARNING_INTERVAL:
        backlog = LedgerEntry.objects.filter(position=None).count()
        if backlog >= LONG_BACKLOG:
            _warned_at = time.monotonic()
            logger.warning("Folds are held back: feedback slows down, because %s ledger entries wait", f"{backlog:,}")
    while is_limited:
        _, is_limited = fold(wait=wait)


class FoldResult(NamedTuple):
    """The number of entries that a fold has stamped, and whether it stopped at its limit."""

    entries: int = 0
    is_limited: bool = False


class InvisibleSalesError(OperationalError):
    """Sales of committed entries cannot be read yet.

    On a cluster, an entry is visible a moment before its sales are, because each node commits for itself.
    """

    def __init__(self, expected: int, found: int, last_id: int) -> None:
        super().__init__(
            f"The ledger names {expected:,} changed sales, but only {found:,} can be read as it "
            "says. If sales were deleted with SQL, run verify_feedback --repair."
        )
        self.last_id = last_id  # of the entries


def fold(*, wait: bool = False) -> FoldResult:
    """Stamp the oldest unfolded entries, up to the limits, and add them to all totals.

    While another session holds the lock of folds, do nothing, or `wait` for it. Try again while sales of the entries
    are not visible, but then without newer entries, whose sales might not be visible either. Raises
    InvisibleSalesError if that lasts; then nothing is changed.
    """
    last_id = BigIntegerField.MAX_BIGINT
    for pause in VISIBILITY_PAUSES:
        try:
            return _fold(last_id, wait=wait)
        except InvisibleSalesError as error:
            last_id = error.last_id
            time.sleep(pause)
    return _fold(last_id, wait=wait)


def _fold(last_id: int, *, wait: bool) -> FoldResult:
    started = time.monotonic()
    with transaction.atomic(), connection.cursor() as cursor:
        if not lock_folds(cursor, wait=wait):
            return FoldResult()
        if is_distributed(DEFAULT_DB_ALIAS):
            cursor.execute(FEW_CONNECTIONS)  # more of them take half as much CPU time again
        cursor.adapters.register_loader("timestamptz", TimestamptzLoader)  # in C, unlike Django's
        cursor.execute(SELECT_DUE, [last_id, MAX_ENTRIES, MAX_SALES])
        entries = [DueEntry(*row) for row in cursor.fetchall()]
        if not entries:
            return FoldResult()
        daily = _added(entries)
        before, last_position = _stamp(cursor, entries, daily)
        if daily:
            _add_to_feedback(daily, newest=max(entry.received_at for entry in entries if entry.changes))
        ingest_minutes.fold(entries)
        purge: dict[str, Any] = {"retention": settings.LEDGER_RETENTION, "last": last_position, "limit": PURGE_LIMIT}
        cursor.execute(PURGE, purge)
        cursor.execute(DAYS_TO_MERGE, [MERGE_LIMIT])
        days_to_merge = cursor.fetchall()
    for (day,) in days_to_merge:
        _merge(day)
    FOLD_SECONDS.observe(time.monotonic() - started)
    if not wait:  # nobody waits for partitions
        making.make_months(day for _, day in daily)
        analyze_if_grown(before, last_position)
    is_limited = len(entries) == MAX_ENTRIES or sum(entry.changes for entry in entries) >= MAX_SALES
    return FoldResult(len(entries), is_limited)


def _stamp(cursor: CursorWrapper, entries: Sequence[DueEntry], daily: Mapping[CategoryDay, Figures]) -> tuple[int, int]:
    """Give the entries their positions, and add their sales to the totals by country.

    Return the position before the first entry, and that of the last one.

    Raises InvisibleSalesError unless the sales have the figures that the entries tell. The number alone could be right
    although one sale is missing and another one, which is being voided, is read from both of its tables.
    """
    before = stamped_position()
    positions = [before + changes for changes in accumulate(entry.changes for entry in entries)]
    cursor.execute(STAMP, {"ids": [entry.id for entry in entries], "positions": positions})
    found, *figures = cursor.fetchone()
    expected = positions[-1] - before
    if found != expected or tuple(figures) != add_up((None, *each) for each in daily.values()).get(None, ZERO):
        raise InvisibleSalesError(expected, found, entries[-1].id)
    return before, positions[-1]


def _added(entries: Sequence[DueEntry]) -> dict[CategoryDay, Figures]:
    """Add up the tallies of the entries."""
    return add_up(
        ((tally.category, tally.day), tally.sales_count, tally.revenue)
        for entry in entries
        if entry.tallies
        for tally in read_tallies(entry.tallies)
    )


def _add_to_feedback(daily: Mapping[CategoryDay, Figures], newest: datetime.datetime) -> None:
    old_daily = DailyTotal.objects.filter(day__in={day for _, day in daily})
    write_totals(
        add_old_figures(daily, daily_figures(old_daily)),
        add_old_figures(sum_over_days(daily), overall_figures(Total.objects.all())),
        newest,
    )


def add_old_figures(new: Mapping[Key, Figures], old: Iterable[tuple[Key, int, Decimal]]) -> dict[Key, Figures]:
    """Add the old rows to the new figures that have the same key."""
    rows = [(key, *figures) for key, figures in new.items()]
    return add_up(rows + [row for row in old if row[0] in new])


def daily_figures(source: QuerySet[Any]) -> Iterator[tuple[CategoryDay, int, Decimal]]:
    """Yield the rows of daily totals, or of the ledger, for `add_up`."""
    rows = source.values_list("category", "day", "sales_count", "revenue")
    return (((category, day), count, revenue) for category, day, count, revenue in rows)


def overall_figures(source: QuerySet[Any]) -> Iterator[tuple[AllTimeKey, int, Decimal]]:
    """Yield the rows of totals, or of the ledger, for `add_up`, without regard to days."""
    rows = source.values_list("category", "sales_count", "revenue")
    return (((category, None), count, revenue) for category, count, revenue in rows)


def sum_over_days(daily: Mapping[CategoryDay, Figures]) -> dict[AllTimeKey, Figures]:
    return add_up(((category, None), *figures) for (category, _), figures in daily.items())


def write_totals(
    daily: Mapping[CategoryDay, Figures], overall: Mapping[AllTimeKey, Figures], newest: datetime.datetime
) -> None:
    """Insert or replace totals. `newest` is when the newest of their changes was received."""
    with connection.cursor() as cursor:
        cursor.execute(WRITE_DAILY_TOTALS, [_as_json(daily)])
        cursor.execute(WRITE_TOTALS, [newest, _as_json(overall)])


def _as_json(figures: Mapping[CategoryDay, Figures] | Mapping[AllTimeKey, Figures]) -> str:
    entries = [
        {"category": category, "day": day, "sales_count": count, "revenue": revenue}
        for (category, day), (count, revenue) in figures.items()
    ]
    return encode_json(entries).decode()


def _merge(day: datetime.date) -> None:
    """Merge the rows of a day that has many.

    Each day has a transaction of its own, so that a day with very many rows cannot undo a fold at the time limit.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        if lock_folds(cursor):
            cursor.execute(MERGE, {"day": day})
