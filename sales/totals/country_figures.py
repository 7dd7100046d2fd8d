"""What each country sold and bought in all, and the ids among the sales that no country has."""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from django.db import connection

UNNAMED_SHOWN = 10
FIND = """
    WITH ranked AS (
        SELECT figures.*, country.id_country IS NOT NULL AS is_named,
            COUNT(*) OVER same AS how_many,
            ROW_NUMBER() OVER (same ORDER BY sold_revenue + bought_revenue DESC, id_country) AS rank
        FROM country_figures AS figures LEFT JOIN country USING (id_country)
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
    """Every committed sale is counted, though few are looked at: those that wait to be folded into totals."""
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
