"""Check all totals against the sales and what is archived, and correct them.

Writers and folds may run meanwhile, or wait on a cluster.
"""

import datetime
from collections.abc import Iterator, Mapping
from decimal import Decimal, localcontext
from itertools import chain

from django.db import connection, transaction
from django.utils import timezone

from sales.models import ArchivedMonth, DailyTotal, Sale, Total, UnfoldedFigures, VoidedSale
from sales.totals.figures import EXACT, ZERO, CategoryDay, Difference, Figures, add_up
from sales.totals.folding import (
    ADD_TO_TOTALS,
    BY_COUNTRY,
    AllTimeKey,
    add_old_figures,
    daily_figures,
    overall_figures,
    sum_over_days,
    write_totals,
)
from sales.totals.isolation import FOLD_LOCK, REPAIR_LOCK, consistent_sales
from sales.totals.missing_sales import find_missing_sales, take_out_missing_sales
from salesengine.database import session_lock
from salesengine.operations.progress import Advance

FigureKey = CategoryDay | AllTimeKey

ARCHIVED_FIGURES = """
    SELECT category, day, tally.sales_count, tally.revenue
    FROM archived_month,
        json_to_recordset(tallies) AS tally (category text, day date, sales_count bigint, revenue numeric)
    """
ADD_UP_SALES = """
    SELECT day, id_seller_country, id_buyer_country, SUM(sales_count)::bigint AS sales_count, SUM(revenue) AS revenue
    FROM (
        SELECT (date_payment AT TIME ZONE 'UTC')::date AS day, id_seller_country, id_buyer_country,
            COUNT(*) AS sales_count, SUM(revenue) AS revenue
        FROM sales
        GROUP BY 1, 2, 3
        UNION ALL
        SELECT trade.*
        FROM archived_month, json_to_recordset(trades) AS trade (
            day date, id_seller_country text, id_buyer_country text, sales_count bigint, revenue numeric
        )
    ) AS stored_and_archived
    GROUP BY day, id_seller_country, id_buyer_country
    """
FIND_DIFFERENCES = f"""
    SELECT day, id_seller_country, id_buyer_country,
        stored.sales_count, stored.revenue, expected.sales_count, expected.revenue
    FROM (
        SELECT day, id_seller_country, id_buyer_country,
            SUM(sales_count)::bigint AS sales_count, SUM(revenue) AS revenue
        FROM country_sales
        GROUP BY day, id_seller_country, id_buyer_country
        HAVING SUM(sales_count) <> 0 OR SUM(revenue) <> 0
    ) AS stored
    FULL JOIN ({ADD_UP_SALES}) AS expected USING (day, id_seller_country, id_buyer_country)
    WHERE (stored.sales_count, stored.revenue) IS DISTINCT FROM (expected.sales_count, expected.revenue)
    ORDER BY day, id_seller_country, id_buyer_country
    """  # noqa: S608  # no values
FIND_TOTAL_DIFFERENCES = f"""
    WITH added AS MATERIALIZED (
        SELECT id_seller_country, id_buyer_country, SUM(sales_count) AS sales_count, SUM(revenue) AS revenue
        FROM ({ADD_UP_SALES}) AS by_day
        GROUP BY id_seller_country, id_buyer_country
    )
    SELECT id_country, stored.sold_count, stored.sold_revenue, expected.sold_count, expected.sold_revenue,
        stored.bought_count, stored.bought_revenue, expected.bought_count, expected.bought_revenue
    FROM (
        SELECT * FROM country_figures WHERE (sold_count, sold_revenue, bought_count, bought_revenue) <> (0, 0, 0, 0)
    ) AS stored FULL JOIN ({BY_COUNTRY.format(sums="added")}) AS expected USING (id_country)
    WHERE (stored.sold_count, stored.sold_revenue, stored.bought_count, stored.bought_revenue)
        IS DISTINCT FROM (expected.sold_count, expected.sold_revenue, expected.bought_count, expected.bought_revenue)
    ORDER BY id_country
    """  # noqa: S608  # no values
FIND_CORRECTIONS = f"""
    CREATE TEMPORARY TABLE country_correction AS
    SELECT day, id_seller_country, id_buyer_country,
        coalesce(expected_count, 0) - coalesce(stored_count, 0) AS sales_count,
        coalesce(expected_revenue, 0) - coalesce(stored_revenue, 0) AS revenue
    FROM ({FIND_DIFFERENCES}) AS difference (day, id_seller_country, id_buyer_country,
        stored_count, stored_revenue, expected_count, expected_revenue)
    """  # noqa: S608  # no values
ADD_BRANDS = """
    INSERT INTO brand (name, first_seen)
    SELECT brand, MIN(received_at) FROM sales WHERE brand IS NOT NULL GROUP BY brand
    ON CONFLICT DO NOTHING
    """
CORRECT_COUNTRIES = f"""
    WITH removed AS (
        DELETE FROM country_daily_total
        WHERE day IN (SELECT day FROM country_correction)
        RETURNING day, id_seller_country, id_buyer_country, sales_count, revenue
    )
    INSERT INTO country_daily_total (day, id_seller_country, id_buyer_country, sales_count, revenue)
    SELECT day, id_seller_country, id_buyer_country, SUM(sales_count), SUM(revenue)
    FROM (TABLE removed UNION ALL TABLE country_correction) AS parts
    GROUP BY day, id_seller_country, id_buyer_country
    HAVING SUM(sales_count) <> 0 OR SUM(revenue) <> 0;
    DELETE FROM country_day WHERE day IN (SELECT day FROM country_correction);
    INSERT INTO country_day (day, row_count, merged_count)
    SELECT day, COUNT(*), COUNT(*)
    FROM country_daily_total
    WHERE day IN (SELECT day FROM country_correction)
    GROUP BY day;
    DELETE FROM country_total;
    {ADD_TO_TOTALS} {BY_COUNTRY.format(sums="country_daily_total")};
    DROP TABLE country_correction
    """  # noqa: S608  # no values


def verify(advance: Advance = lambda sales: None) -> list[Difference]:
    """Add up every sale and return the figures that differ: ledger entries that lack sales, feedback, and countries."""
    differences = _compare_feedback(advance)
    keys = sorted(differences, key=lambda key: (key[1] or datetime.date.min, key[0] or ""))
    feedback = [Difference(f"{key[0] or 'no category'}, {key[1] or 'all time'}", *differences[key]) for key in keys]
    return _find_missing() + feedback + _compare_countries()


def repair(advance: Advance = lambda sales: None) -> None:
    """Correct the ledger and all totals.

    Folds wait only for short transactions, which do not read all sales. On a cluster, they also wait for comparisons.
    Sales and folds that come after the comparison change the stored and the expected figures alike, so the same
    corrections remain right.
    """
    with session_lock(REPAIR_LOCK), connection.cursor() as cursor:
        if _find_missing():
            with session_lock(FOLD_LOCK), consistent_sales():
                take_out_missing_sales()
        differences = _compare_feedback(advance)
        with localcontext(EXACT):
            corrections = {
                key: (expected[0] - stored[0], expected[1] - stored[1])
                for key, (stored, expected) in differences.items()
            }
        with consistent_sales():
            cursor.execute(FIND_CORRECTIONS)
        cursor.execute(ADD_BRANDS)
        with session_lock(FOLD_LOCK), transaction.atomic():
            _correct_feedback(corrections)
            cursor.execute(CORRECT_COUNTRIES)


def _find_missing() -> list[Difference]:
    with consistent_sales():
        return find_missing_sales()


def _compare_feedback(advance: Advance) -> dict[FigureKey, tuple[Figures, Figures]]:
    """Return the stored and the expected figures where they differ, by category and day, and by category."""
    with consistent_sales():
        daily = add_up(row for model in (DailyTotal, UnfoldedFigures) for row in daily_figures(model.objects.all()))
        overall = add_up(row for model in (Total, UnfoldedFigures) for row in overall_figures(model.objects.all()))
        expected_daily = add_up(chain(_every_sale(advance), _archived_figures()))
    stored = daily | overall
    expected = expected_daily | sum_over_days(expected_daily)
    pairs = {key: (stored.get(key, ZERO), expected.get(key, ZERO)) for key in stored.keys() | expected.keys()}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _every_sale(advance: Advance, chunk: int = 10_000) -> Iterator[tuple[CategoryDay, int, Decimal]]:
    rows = Sale.objects.values_list("category", "date_payment", "revenue").iterator(chunk_size=chunk)
    number = 0
    for number, (category, paid_at, revenue) in enumerate(rows, start=1):
        yield (category, paid_at.date()), 1, revenue
        if number % chunk == 0:
            advance(chunk)
    advance(number % chunk)


def _archived_figures() -> Iterator[tuple[CategoryDay, int, Decimal]]:
    with connection.cursor() as cursor:
        cursor.execute(ARCHIVED_FIGURES)
        return (((category, day), count, revenue) for category, day, count, revenue in cursor.fetchall())


def _compare_countries() -> list[Difference]:
    """Return the figures by country that differ: by day, then of all time."""
    with consistent_sales(), connection.cursor() as cursor:
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


def _correct_feedback(corrections: Mapping[FigureKey, Figures]) -> None:
    """Add the corrections to the totals, in the caller's transaction."""
    daily = {(category, day): figures for (category, day), figures in corrections.items() if day}
    overall = {(category, None): figures for (category, day), figures in corrections.items() if not day}
    old_daily = DailyTotal.objects.filter(day__in={day for _, day in daily})
    received = [_newest(Sale, "received_at"), _newest(ArchivedMonth, "received_at"), _newest(VoidedSale, "voided_at")]
    newest = max(filter(None, received), default=None)
    write_totals(
        add_old_figures(daily, daily_figures(old_daily)),
        add_old_figures(overall, overall_figures(Total.objects.all())),
        newest or timezone.now(),
    )
    for model in (DailyTotal, Total):
        model.objects.filter(sales_count=0, revenue=0).delete()
    if newest:
        Total.objects.update(received_at=newest)


def _newest(model: type[Sale | ArchivedMonth | VoidedSale], field: str) -> datetime.datetime | None:
    return model._default_manager.order_by(f"-{field}").values_list(field, flat=True).first()
