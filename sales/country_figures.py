"""What each country sold and bought in all, and the ids among the sales that no country has."""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from django.db import connection

UNNAMED_SHOWN = 10
# Grouped by both countries first: PostgreSQL does that in parallel, and what is left is small.
FIND = """
    WITH pairs AS MATERIALIZED (
        SELECT id_seller_country, id_buyer_country, SUM(sales_count) AS sales_count, SUM(revenue) AS revenue
        FROM country_sales
        GROUP BY id_seller_country, id_buyer_country
    ), sides AS (
        SELECT id_seller_country AS id_country, sales_count AS sold_count, revenue AS sold_revenue,
            0 AS bought_count, 0 AS bought_revenue
        FROM pairs
        UNION ALL
        SELECT id_buyer_country, 0, 0, sales_count, revenue FROM pairs
    ), figures AS (
        SELECT id_country, SUM(sold_count)::bigint AS sold_count, SUM(sold_revenue) AS sold_revenue,
            SUM(bought_count)::bigint AS bought_count, SUM(bought_revenue) AS bought_revenue
        FROM sides
        GROUP BY id_country
    ), ranked AS (
        SELECT figures.*, country.id_country IS NOT NULL AS is_named,
            COUNT(*) OVER same AS how_many,
            ROW_NUMBER() OVER (same ORDER BY sold_revenue + bought_revenue DESC, id_country) AS rank
        FROM figures LEFT JOIN country USING (id_country)
        WINDOW same AS (PARTITION BY country.id_country IS NOT NULL)
    )
    SELECT is_named, how_many, id_country, sold_count, sold_revenue, bought_count, bought_revenue
    FROM ranked
    WHERE is_named OR rank <= %s
    ORDER BY rank
    """


class CountryFigures(NamedTuple):
    """Numbers of sales and their exact revenue, as the seller's country and as the buyer's."""

    sold_count: int
    sold_revenue: Decimal
    bought_count: int
    bought_revenue: Decimal


@dataclass(frozen=True)
class AllFigures:
    """By id: of each country that has sales, and of those ids without a name that have the most revenue."""

    named: dict[str, CountryFigures]
    unnamed: dict[str, CountryFigures]
    unnamed_count: int


def find_figures() -> AllFigures:
    """Every committed sale is counted, without a look at more than the sales of the last minutes."""
    named: dict[str, CountryFigures] = {}
    unnamed: dict[str, CountryFigures] = {}
    unnamed_count = 0
    with connection.cursor() as cursor:
        cursor.execute(FIND, [UNNAMED_SHOWN])
        for is_named, how_many, id_country, *figures in cursor:
            if is_named:
                named[id_country] = CountryFigures(*figures)
            else:
                unnamed[id_country] = CountryFigures(*figures)
                unnamed_count = how_many
    return AllFigures(named, unnamed, unnamed_count)
