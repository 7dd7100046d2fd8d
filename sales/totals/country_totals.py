"""Read the figures of sales by the seller's and the buyer's country.

The views `country_sales` (by day) and `country_figures` (all time) add up the totals and the changes that are not
folded yet. One statement on a view sees every committed sale exactly once.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection

from sales.totals.figures import Figures
from sales.totals.isolation import KEEP_MONTHS

UNNAMED_LIMIT = 10
IDS_LIMIT = 2_000

FIGURES_BETWEEN_COUNTRIES = """
    SELECT coalesce(SUM(sales_count), 0)::bigint, coalesce(SUM(revenue), 0)
    FROM country_sales
    WHERE (%(start)s::date IS NULL OR day >= %(start)s)
        AND (%(stop)s::date IS NULL OR day < %(stop)s)
        AND (%(sellers)s::text[] IS NULL OR id_seller_country = ANY(%(sellers)s))
        AND (%(buyers)s::text[] IS NULL OR id_buyer_country = ANY(%(buyers)s))
    """
# A null seller or buyer marks a sum over all of them: no sale has a null country.
TOP_COUNTRIES = """
    WITH pairs AS (
        SELECT id_seller_country AS seller, id_buyer_country AS buyer,
            SUM(sales_count)::bigint AS sales_count, SUM(revenue) AS revenue
        FROM country_sales
        WHERE day BETWEEN %(first)s AND %(last)s
        GROUP BY seller, buyer
        HAVING SUM(sales_count) > 0
    ), ranked AS (
        SELECT seller, buyer, SUM(sales_count)::bigint AS sales_count, SUM(revenue) AS revenue,
            ROW_NUMBER() OVER (
                PARTITION BY GROUPING(seller, buyer) ORDER BY SUM(revenue) DESC, SUM(sales_count) DESC, seller, buyer
            ) AS rank
        FROM pairs
        GROUP BY GROUPING SETS ((seller), (buyer), (seller, buyer))
    )
    SELECT seller, buyer, sales_count, revenue FROM ranked WHERE rank <= %(limit)s ORDER BY rank
    """
FIGURES_BY_COUNTRY = """
    WITH ranked AS (
        SELECT figures.*, country.id_country IS NOT NULL AS is_named,
            COUNT(*) OVER same AS group_size,
            ROW_NUMBER() OVER (same ORDER BY sold_revenue + bought_revenue DESC, id_country) AS rank
        FROM country_figures AS figures LEFT JOIN country USING (id_country)
        WHERE sold_count > 0 OR bought_count > 0
        WINDOW same AS (PARTITION BY country.id_country IS NOT NULL)
    )
    SELECT is_named, group_size, id_country, sold_count, sold_revenue, bought_count, bought_revenue
    FROM ranked
    WHERE is_named OR rank <= %(limit)s
    ORDER BY rank
    """
IDS = """
    SELECT id_country FROM country_figures WHERE sold_count > 0 OR bought_count > 0 ORDER BY id_country LIMIT %(limit)s
    """
SALES_OF_COUNTRIES = """
    SELECT coalesce(SUM(sales_count), 0)::bigint
    FROM country_sales
    WHERE id_seller_country = ANY(%(ids)s) OR id_buyer_country = ANY(%(ids)s)
    """


def _read(statement: str, values: Mapping[str, Any]) -> Sequence[tuple[Any, ...]]:
    """Lock the months, and then return the rows of a statement on the views, in one round trip.

    PostgreSQL runs both in one transaction. The views read `sales` in a function, which looks up the tables of the
    months after the snapshot is taken.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"{KEEP_MONTHS}; {statement}", values)
        cursor.nextset()
        rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
    return rows


def country_ids() -> list[str]:
    """Return the ids of sellers' and buyers' countries in all committed sales, up to IDS_LIMIT."""
    return [id_country for (id_country,) in _read(IDS, {"limit": IDS_LIMIT})]


def figures_between_countries(
    start: datetime.date | None, stop: datetime.date | None, sellers: list[str] | None, buyers: list[str] | None
) -> Figures:
    """Return the figures of the sales paid from day `start` on and before day `stop`, in UTC.

    `sellers` and `buyers` are ids of countries. None means no limit. Takes about 0.1 s, however many sales there are.
    """
    values = {"start": start, "stop": stop, "sellers": sellers, "buyers": buyers}
    [(number, revenue)] = _read(FIGURES_BETWEEN_COUNTRIES, values)
    return number, revenue


def sales_of_countries(ids: list[str]) -> int:
    """Return the number of sales whose seller or buyer is in one of these countries."""
    [(number,)] = _read(SALES_OF_COUNTRIES, {"ids": ids})
    return int(number)


@dataclass(frozen=True)
class TradeFigures:
    """The sales from a seller's country to a buyer's country. None stands for all countries."""

    seller: str | None
    buyer: str | None
    sales_count: int
    revenue: Decimal


@dataclass(frozen=True)
class TopCountries:
    """The sellers' countries, the buyers' countries and the pairs of both that have the most revenue."""

    sellers: Sequence[TradeFigures]
    buyers: Sequence[TradeFigures]
    pairs: Sequence[TradeFigures]


def top_countries(first: datetime.date, last: datetime.date, limit: int) -> TopCountries:
    """Return up to `limit` of each for the sales paid from day `first` to day `last`, both included, in UTC.

    Ties go to the higher number of sales, then to the first id.
    """
    values = {"first": first, "last": last, "limit": limit}
    rows = [TradeFigures(*row) for row in _read(TOP_COUNTRIES, values)]
    return TopCountries(
        sellers=[row for row in rows if row.buyer is None],
        buyers=[row for row in rows if row.seller is None],
        pairs=[row for row in rows if None not in (row.seller, row.buyer)],
    )


class CountryFigures(NamedTuple):
    """Numbers of sales and their exact revenue, for the seller's country and for the buyer's."""

    sold_count: int
    sold_revenue: Decimal
    bought_count: int
    bought_revenue: Decimal


@dataclass(frozen=True)
class FiguresByCountry:
    """Figures by country id: of named countries that have sales, and of the unnamed ids with the most revenue."""

    named: dict[str, CountryFigures]
    unnamed: dict[str, CountryFigures]
    unnamed_count: int


def figures_by_country() -> FiguresByCountry:
    """Return what each country sold and bought in all committed sales, with up to UNNAMED_LIMIT unnamed ids."""
    named: dict[str, CountryFigures] = {}
    unnamed: dict[str, CountryFigures] = {}
    unnamed_count = 0
    for is_named, group_size, id_country, *figures in _read(FIGURES_BY_COUNTRY, {"limit": UNNAMED_LIMIT}):
        if is_named:
            named[id_country] = CountryFigures(*figures)
        else:
            unnamed[id_country] = CountryFigures(*figures)
            unnamed_count = group_size
    return FiguresByCountry(named, unnamed, unnamed_count)
