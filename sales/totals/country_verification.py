"""Check the totals by country against the sales, and correct them."""

from decimal import Decimal

from django.db import connection, transaction

from sales.totals.country_folding import ADD_TO_TOTALS, BY_COUNTRY
from sales.totals.figures import ZERO, Difference, Figures
from sales.totals.isolation import FOLD_LOCK, REPAIR_LOCK, session_lock

ADD_UP_SALES = """
    SELECT (date_payment AT TIME ZONE 'UTC')::date AS day, id_seller_country, id_buyer_country,
        COUNT(*) AS sales_count, SUM(revenue) AS revenue
    FROM sales
    GROUP BY 1, 2, 3
    """
FIND_DIFFERENCES = f"""
    SELECT day, id_seller_country, id_buyer_country,
        stored.sales_count, stored.revenue, expected.sales_count, expected.revenue
    FROM (
        SELECT day, id_seller_country, id_buyer_country,
            SUM(sales_count)::bigint AS sales_count, SUM(revenue) AS revenue
        FROM country_sales
        GROUP BY day, id_seller_country, id_buyer_country
    ) AS stored
    FULL JOIN ({ADD_UP_SALES}) AS expected USING (day, id_seller_country, id_buyer_country)
    WHERE (stored.sales_count, stored.revenue) IS DISTINCT FROM (expected.sales_count, expected.revenue)
    ORDER BY day, id_seller_country, id_buyer_country
    """  # noqa: S608  # no values
FIND_TOTAL_DIFFERENCES = f"""
    WITH added AS MATERIALIZED (
        SELECT id_seller_country, id_buyer_country, COUNT(*) AS sales_count, SUM(revenue) AS revenue
        FROM sales
        GROUP BY id_seller_country, id_buyer_country
    )
    SELECT id_country, stored.sold_count, stored.sold_revenue, expected.sold_count, expected.sold_revenue,
        stored.bought_count, stored.bought_revenue, expected.bought_count, expected.bought_revenue
    FROM country_figures AS stored FULL JOIN ({BY_COUNTRY.format(sums="added")}) AS expected USING (id_country)
    WHERE (stored.sold_count, stored.sold_revenue, stored.bought_count, stored.bought_revenue)
        IS DISTINCT FROM (expected.sold_count, expected.sold_revenue, expected.bought_count, expected.bought_revenue)
    ORDER BY id_country
    """  # noqa: S608  # no values
# Sales and folds that come later change the stored and the expected figures alike, so the corrections remain right.
FIND_CORRECTIONS = f"""
    CREATE TEMPORARY TABLE country_correction AS
    SELECT day, id_seller_country, id_buyer_country,
        coalesce(expected_count, 0) - coalesce(stored_count, 0) AS sales_count,
        coalesce(expected_revenue, 0) - coalesce(stored_revenue, 0) AS revenue
    FROM ({FIND_DIFFERENCES}) AS difference (day, id_seller_country, id_buyer_country,
        stored_count, stored_revenue, expected_count, expected_revenue)
    """  # noqa: S608  # no values
CORRECT_DAYS = """
    WITH removed AS (
        DELETE FROM country_daily_total
        WHERE day IN (SELECT day FROM country_correction)
        RETURNING day, id_seller_country, id_buyer_country, sales_count, revenue
    )
    INSERT INTO country_daily_total (day, id_seller_country, id_buyer_country, sales_count, revenue)
    SELECT day, id_seller_country, id_buyer_country, SUM(sales_count), SUM(revenue)
    FROM (TABLE removed UNION ALL TABLE country_correction) AS parts
    GROUP BY day, id_seller_country, id_buyer_country
    HAVING SUM(sales_count) <> 0 OR SUM(revenue) <> 0
    """
COUNT_ROWS = """
    DELETE FROM country_day WHERE day IN (SELECT day FROM country_correction);
    INSERT INTO country_day (day, row_count, merged_count)
    SELECT day, COUNT(*), COUNT(*)
    FROM country_daily_total
    WHERE day IN (SELECT day FROM country_correction)
    GROUP BY day
    """
ADD_UP_DAYS = f"""
    DELETE FROM country_total;
    {ADD_TO_TOTALS} {BY_COUNTRY.format(sums="country_daily_total")}
    """  # noqa: S608  # no values


def verify() -> list[Difference]:
    """Add up every sale and return the figures that differ: by day, then of all time.

    Writers and folds may run meanwhile.
    """
    with connection.cursor() as cursor:
        cursor.execute(FIND_DIFFERENCES)
        by_day = [
            Difference(f"country {seller} to {buyer}, {day}", _figures(*row[:2]), _figures(*row[2:]))
            for day, seller, buyer, *row in cursor
        ]
        cursor.execute(FIND_TOTAL_DIFFERENCES)
        overall = [
            Difference(f"country {id_country}, {side}", _figures(*figures[:2]), _figures(*figures[2:]))
            for id_country, *row in cursor
            for side, figures in (("sold", row[:4]), ("bought", row[4:]))
        ]
    return by_day + [difference for difference in overall if difference.stored != difference.expected]


def _figures(sales_count: int | None, revenue: Decimal | None) -> Figures:
    return ZERO if sales_count is None or revenue is None else (sales_count, revenue)


def repair() -> None:
    """Correct the totals. Writers and folds may run meanwhile, except that folds wait for the last transaction.

    That one reads totals, but no sales.
    """
    with session_lock(REPAIR_LOCK), connection.cursor() as cursor:
        cursor.execute(FIND_CORRECTIONS)
        with session_lock(FOLD_LOCK), transaction.atomic():
            for statement in (CORRECT_DAYS, COUNT_ROWS, ADD_UP_DAYS):
                cursor.execute(statement)
        cursor.execute("DROP TABLE country_correction")
