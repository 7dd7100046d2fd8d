"""How much the sellers of each country sold to the buyers of each, day by day: what the reports by country add up.

Each batch of sales notes the ids of its sales in a journal, in its own transaction. Folding adds up these sales and
appends them to totals. The view `country_sales` is the totals and the sales that are still in the journal: whoever
reads it in one statement has every committed sale exactly once. Unlike the feedback, which is aggregated in Python,
this is summed by the database, and only reports read it.

Totals are appended and not updated, which costs a tenth. A day whose rows have become many is merged into few.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db import connection, transaction

from sales import feedback
from sales.feedback import NOTHING, Figures
from sales.models import CountryDailyTotal, CountryDay, CountryJournalEntry

FOLD_EVERY = 20_000  # sales: fewer fold into hardly less rows than they are, more take long to read until then
FOLD_AT_MOST = 100_000  # sales in one go, but for the last batch; of at most so many journal entries, too
MERGE_AT_MOST = 16  # days in one go

APPEND_TO_JOURNAL = "INSERT INTO country_journal (sale_ids, sales_count)"
SALE_IDS = "SELECT range_agg(int8range(id, id, '[]')), COUNT(*)"  # FROM few
FOLD = """
    WITH oldest AS (
        SELECT id, sales_count FROM country_journal ORDER BY id LIMIT %(most)s
    ), taken AS (
        DELETE FROM country_journal
        WHERE id IN (
            SELECT id
            FROM (SELECT id, SUM(sales_count) OVER (ORDER BY id) - sales_count AS before FROM oldest) AS counted
            WHERE before < %(most)s
        )
        RETURNING sale_ids, sales_count
    ), added AS (
        INSERT INTO country_daily_total (day, id_seller_country, id_buyer_country, sales_count, revenue)
        SELECT (date_payment AT TIME ZONE 'UTC')::date AS day, id_seller_country, id_buyer_country,
            COUNT(*), SUM(revenue)
        FROM taken, unnest(sale_ids) AS run JOIN sales ON sales.id >= lower(run) AND sales.id < upper(run)
        GROUP BY day, id_seller_country, id_buyer_country
        RETURNING day
    ), counted AS (
        INSERT INTO country_day AS known (day, row_count, merged_count)
        SELECT day, COUNT(*), 0 FROM added GROUP BY day
        ON CONFLICT (day) DO UPDATE SET row_count = known.row_count + excluded.row_count
    )
    SELECT coalesce(SUM(sales_count), 0)::bigint FROM taken
    """
# The more rows a day has by itself, the rarer it is merged: so each row is merged about once, however many there are.
MERGE = """
    WITH taken AS (
        DELETE FROM country_daily_total
        WHERE day = ANY(ARRAY(
            SELECT day FROM country_day WHERE row_count > 4 * merged_count + 1000 ORDER BY day LIMIT %s
        ))
        RETURNING day, id_seller_country, id_buyer_country, sales_count, revenue
    ), merged AS (
        INSERT INTO country_daily_total (day, id_seller_country, id_buyer_country, sales_count, revenue)
        SELECT day, id_seller_country, id_buyer_country, SUM(sales_count), SUM(revenue)
        FROM taken
        GROUP BY day, id_seller_country, id_buyer_country
        RETURNING day
    ), counted AS (
        SELECT day, COUNT(*) AS row_count FROM merged GROUP BY day
    )
    UPDATE country_day SET row_count = counted.row_count, merged_count = counted.row_count
    FROM counted
    WHERE country_day.day = counted.day
    """
ADD_UP_SALES = """
    SELECT (date_payment AT TIME ZONE 'UTC')::date AS day, id_seller_country, id_buyer_country,
        COUNT(*) AS sales_count, SUM(revenue) AS revenue
    FROM sales
    GROUP BY 1, 2, 3
    """
FILL = f"""
    INSERT INTO country_daily_total (day, id_seller_country, id_buyer_country, sales_count, revenue) {ADD_UP_SALES}
    """
COUNT_DAYS = """
    INSERT INTO country_day (day, row_count, merged_count)
    SELECT day, COUNT(*), COUNT(*) FROM country_daily_total GROUP BY day
    """
FIND_DIFFERENCES = f"""
    SELECT day, id_seller_country, id_buyer_country, kept.sales_count, kept.revenue, added.sales_count, added.revenue
    FROM (
        SELECT day, id_seller_country, id_buyer_country,
            SUM(sales_count)::bigint AS sales_count, SUM(revenue) AS revenue
        FROM country_sales
        GROUP BY day, id_seller_country, id_buyer_country
    ) AS kept
    FULL JOIN ({ADD_UP_SALES}) AS added USING (day, id_seller_country, id_buyer_country)
    WHERE (kept.sales_count, kept.revenue) IS DISTINCT FROM (added.sales_count, added.revenue)
    ORDER BY day, id_seller_country, id_buyer_country
    """  # noqa: S608  # no values

ADD_UP = """
    SELECT coalesce(SUM(sales_count), 0)::bigint, coalesce(SUM(revenue), 0)
    FROM country_sales
    WHERE (%(start)s::date IS NULL OR day >= %(start)s)
        AND (%(stop)s::date IS NULL OR day < %(stop)s)
        AND (%(sellers)s::text[] IS NULL OR id_seller_country = ANY(%(sellers)s))
        AND (%(buyers)s::text[] IS NULL OR id_buyer_country = ANY(%(buyers)s))
    """


def days_figures(
    start: datetime.date | None, stop: datetime.date | None, sellers: list[str] | None, buyers: list[str] | None
) -> Figures:
    """Number and revenue of all sales paid on these days (`stop` not included) in UTC, from and to these countries.

    None is no limit. It takes about a tenth of a second, however many sales there are.
    """
    with connection.cursor() as cursor:
        cursor.execute(ADD_UP, {"start": start, "stop": stop, "sellers": sellers, "buyers": buyers})
        number, revenue = cursor.fetchone()
    return number, revenue


def id_ranges(sale_ids: Sequence[int]) -> str:
    """Ids in their order, as PostgreSQL writes ranges of them: {[1,3],[7,7]}."""
    if sale_ids[-1] - sale_ids[0] == len(sale_ids) - 1:
        return f"{{[{sale_ids[0]},{sale_ids[-1]}]}}"
    return f"{{{','.join(f'[{sale_id},{sale_id}]' for sale_id in sale_ids)}}}"


def fold_if_due(sale_ids: Sequence[int]) -> None:
    """Fold after about every 20,000th sale, so that the journal stays short. The ids are new, and in their order."""
    if sale_ids[-1] // FOLD_EVERY * FOLD_EVERY >= sale_ids[0]:
        while fold() >= FOLD_AT_MOST:
            pass


def fold() -> int:
    """Move sales from the journal to the totals; how many (0 also while somebody else folds: nobody waits)."""
    with transaction.atomic(), connection.cursor() as cursor:
        if not feedback.may_fold(cursor):
            return 0
        cursor.execute(FOLD, {"most": FOLD_AT_MOST})
        moved: int = cursor.fetchone()[0]
        cursor.execute(MERGE, [MERGE_AT_MOST])
    return moved


# Checking


@dataclass(frozen=True)
class CountryDifference:
    """Figures that are not what the sales of that day from one country to the other add up to."""

    day: datetime.date
    id_seller_country: str
    id_buyer_country: str
    kept: Figures
    true: Figures


def verify() -> list[CountryDifference]:
    """Add up every sale again and compare; [] when every figure is right. Writers and folds go on meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute(FIND_DIFFERENCES)
        return [
            CountryDifference(day, seller, buyer, _figures(*kept), _figures(*true))
            for day, seller, buyer, kept, true in ((*row[:3], row[3:5], row[5:]) for row in cursor)
        ]


def _figures(sales_count: int | None, revenue: Decimal | None) -> Figures:
    return NOTHING if sales_count is None or revenue is None else (sales_count, revenue)


def repair() -> None:
    """Build the totals anew from the sales. Folds stand back meanwhile; writers go on.

    What is committed after the snapshot is in neither the new totals nor the entries deleted: it stays in the journal.
    """
    with feedback.no_folds(), feedback.snapshot():
        for model in (CountryJournalEntry, CountryDailyTotal, CountryDay):
            model.objects.all().delete()
        with connection.cursor() as cursor:
            cursor.execute(FILL)
            cursor.execute(COUNT_DAYS)
