"""How much the sellers of each country sold to the buyers of each, day by day: what the reports by country add up.

Each batch of sales notes the ids of its sales in a journal, in its own transaction. Folding adds up these sales and
appends them to totals. The view `country_sales` is the totals and the sales that are still in the journal: whoever
reads it in one statement has every committed sale exactly once. Unlike the feedback, which is aggregated in Python,
this is summed by the database, and only reports read it.

What each country sold and bought in all is kept likewise, for the back office: the view `country_figures`.

Totals by day are appended and not updated, which costs a tenth. A day whose rows have become many is merged into few.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db import connection, transaction

from sales.models import CountryDailyTotal, CountryDay, CountryJournalEntry, CountryTotal
from sales.totals import feedback
from sales.totals.feedback import ZERO, Figures

FOLD_EVERY = 20_000  # sales: fewer fold into hardly less rows than they are, more take long to read until then
FOLD_AT_MOST = 100_000  # sales in one go, but for the last batch; of at most so many journal entries, too
MERGE_AT_MOST = 16  # days in one go

APPEND_TO_JOURNAL = "INSERT INTO country_journal (sale_ids, sales_count)"
SALE_IDS = "SELECT range_agg(int8range(id, id, '[]')), COUNT(*)"  # FROM few
# What each country sold and bought, FROM sums for two countries. (A few sums: of each country there are two rows.)
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
# UTC by its offset: by its name it would be looked up for each sale (adding up 20,000 takes 12 ms then, not 10).
FOLD = f"""
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
        SELECT (date_payment AT TIME ZONE INTERVAL '0')::date AS day, id_seller_country, id_buyer_country,
            COUNT(*), SUM(revenue)
        FROM taken, unnest(sale_ids) AS run JOIN sales ON sales.id >= lower(run) AND sales.id < upper(run)
        GROUP BY day, id_seller_country, id_buyer_country
        RETURNING day, id_seller_country, id_buyer_country, sales_count, revenue
    ), counted AS (
        INSERT INTO country_day AS known (day, row_count, merged_count)
        SELECT day, COUNT(*), 0 FROM added GROUP BY day
        ON CONFLICT (day) DO UPDATE SET row_count = known.row_count + excluded.row_count
    ), in_all AS (
        {ADD_TO_TOTALS} {BY_COUNTRY.format(sums="added")}
        ON CONFLICT (id_country) DO UPDATE SET
            sold_count = known.sold_count + excluded.sold_count,
            sold_revenue = known.sold_revenue + excluded.sold_revenue,
            bought_count = known.bought_count + excluded.bought_count,
            bought_revenue = known.bought_revenue + excluded.bought_revenue
    )
    SELECT coalesce(SUM(sales_count), 0)::bigint FROM taken
    """  # noqa: S608  # no values
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
# A column that is not grouped by is null, as no country is.
FIND_TOP = """
    WITH pairs AS (
        SELECT id_seller_country AS seller, id_buyer_country AS buyer,
            SUM(sales_count)::bigint AS sales_count, SUM(revenue) AS revenue
        FROM country_sales
        WHERE day BETWEEN %(first)s AND %(last)s
        GROUP BY seller, buyer
    ), ranked AS (
        SELECT seller, buyer, SUM(sales_count)::bigint AS sales_count, SUM(revenue) AS revenue,
            ROW_NUMBER() OVER (
                PARTITION BY GROUPING(seller, buyer) ORDER BY SUM(revenue) DESC, SUM(sales_count) DESC, seller, buyer
            ) AS place
        FROM pairs
        GROUP BY GROUPING SETS ((seller), (buyer), (seller, buyer))
    )
    SELECT seller, buyer, sales_count, revenue FROM ranked WHERE place <= %(most)s ORDER BY place
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
FILL_TOTALS = ADD_TO_TOTALS + BY_COUNTRY.format(sums="country_daily_total")
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
FIND_TOTAL_DIFFERENCES = f"""
    WITH added AS MATERIALIZED (
        SELECT id_seller_country, id_buyer_country, COUNT(*) AS sales_count, SUM(revenue) AS revenue
        FROM sales
        GROUP BY id_seller_country, id_buyer_country
    )
    SELECT id_country, kept.sold_count, kept.sold_revenue, summed.sold_count, summed.sold_revenue,
        kept.bought_count, kept.bought_revenue, summed.bought_count, summed.bought_revenue
    FROM country_figures AS kept FULL JOIN ({BY_COUNTRY.format(sums="added")}) AS summed USING (id_country)
    WHERE (kept.sold_count, kept.sold_revenue, kept.bought_count, kept.bought_revenue)
        IS DISTINCT FROM (summed.sold_count, summed.sold_revenue, summed.bought_count, summed.bought_revenue)
    ORDER BY id_country
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


# Reading


@dataclass(frozen=True)
class TradeFigures:
    """What was sold between countries; None is any country."""

    seller: str | None
    buyer: str | None
    sales_count: int
    revenue: Decimal


@dataclass(frozen=True)
class TopCountries:
    """The countries whose sellers, and whose buyers, had the most revenue, and the pairs of both."""

    sellers: Sequence[TradeFigures]
    buyers: Sequence[TradeFigures]
    pairs: Sequence[TradeFigures]


def top_countries(first: datetime.date, last: datetime.date, most: int) -> TopCountries:
    """At most so many of each, in the sales paid on these days (UTC) and between; ties by number of sales, then id."""
    with connection.cursor() as cursor:
        cursor.execute(FIND_TOP, {"first": first, "last": last, "most": most})
        found = [TradeFigures(*row) for row in cursor]
    return TopCountries(
        sellers=[each for each in found if each.buyer is None],
        buyers=[each for each in found if each.seller is None],
        pairs=[each for each in found if None not in (each.seller, each.buyer)],
    )


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


@dataclass(frozen=True)
class CountryTotalDifference:
    """Figures of a country that are not what its sales of all time add up to, those sold or those bought."""

    id_country: str
    side: str
    kept: Figures
    true: Figures


def verify_totals() -> list[CountryTotalDifference]:
    """As `verify`, for what each country sold and bought in all."""
    differences = []
    with connection.cursor() as cursor:
        cursor.execute(FIND_TOTAL_DIFFERENCES)
        for country, *figures in cursor:
            for side, (kept, true) in {
                "sold": (figures[:2], figures[2:4]),
                "bought": (figures[4:6], figures[6:]),
            }.items():
                differences.append(CountryTotalDifference(country, side, _figures(*kept), _figures(*true)))
    return [difference for difference in differences if difference.kept != difference.true]


def _figures(sales_count: int | None, revenue: Decimal | None) -> Figures:
    return ZERO if sales_count is None or revenue is None else (sales_count, revenue)


def repair() -> None:
    """Build the totals anew from the sales. Folds stand back meanwhile; writers go on.

    What is committed after the snapshot is in neither the new totals nor the entries deleted: it stays in the journal.
    """
    with feedback.no_folds(), feedback.snapshot():
        for model in (CountryJournalEntry, CountryDailyTotal, CountryDay, CountryTotal):
            model.objects.all().delete()
        with connection.cursor() as cursor:
            cursor.execute(FILL)
            cursor.execute(COUNT_DAYS)
            cursor.execute(FILL_TOTALS)
