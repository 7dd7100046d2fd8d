"""The journal of the totals by country, and the folds that move its entries into totals.

A journal entry holds the ids of one batch's sales. The writer stores it in the transaction that stores the sales, and
requests a fold after about every 20,000th sale. The database adds up these totals, unlike the feedback's, which are
added up in Python.

A fold appends rows to the daily totals, because an append costs a tenth of an update. When a day has many rows, a fold
also merges them.
"""

from collections.abc import Sequence

from django.db import connection, transaction

from sales.totals.fold_thread import request_fold
from sales.totals.isolation import try_fold_lock
from salesengine.operations.metrics import FOLD_SECONDS

FOLD_INTERVAL = 20_000  # sales: fewer would hardly save rows, more would make the journal slow to read
FOLD_LIMIT = 100_000  # sales per fold, apart from the rest of the last batch; also the limit of journal entries
MERGE_LIMIT = 16  # days after each fold

APPEND_TO_JOURNAL = "INSERT INTO country_journal (sale_ids, sales_count)"
SELECT_SALE_IDS = "SELECT range_agg(int8range(id, id, '[]')), COUNT(*)"  # FROM at most a few hundred sales
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
# INTERVAL '0' is UTC. PostgreSQL would look up the name 'UTC' for each sale, which makes a fold 20 % slower.
FOLD = f"""
    WITH oldest AS (
        SELECT id, sales_count FROM country_journal ORDER BY id LIMIT %(limit)s
    ), moved AS (
        DELETE FROM country_journal
        WHERE id IN (
            SELECT id
            FROM (SELECT id, SUM(sales_count) OVER (ORDER BY id) - sales_count AS before FROM oldest) AS counted
            WHERE before < %(limit)s
        )
        RETURNING sale_ids, sales_count
    ), added AS (
        INSERT INTO country_daily_total (day, id_seller_country, id_buyer_country, sales_count, revenue)
        SELECT (date_payment AT TIME ZONE INTERVAL '0')::date AS day, id_seller_country, id_buyer_country,
            COUNT(*), SUM(revenue)
        FROM moved, unnest(sale_ids) AS run JOIN sales ON sales.id >= lower(run) AND sales.id < upper(run)
        GROUP BY day, id_seller_country, id_buyer_country
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
    SELECT coalesce(SUM(sales_count), 0)::bigint FROM moved
    """  # noqa: S608  # no values
# The more rows a day has, the more must be added before it is merged again, so each row is merged about once.
MERGE = """
    WITH removed AS (
        DELETE FROM country_daily_total
        WHERE day = (SELECT day FROM country_day WHERE row_count > 4 * merged_count + 1000 ORDER BY day LIMIT 1)
        RETURNING day, id_seller_country, id_buyer_country, sales_count, revenue
    ), merged AS (
        INSERT INTO country_daily_total (day, id_seller_country, id_buyer_country, sales_count, revenue)
        SELECT day, id_seller_country, id_buyer_country, SUM(sales_count), SUM(revenue)
        FROM removed
        GROUP BY day, id_seller_country, id_buyer_country
        RETURNING day
    ), counted AS (
        SELECT day, COUNT(*) AS row_count FROM merged GROUP BY day
    )
    UPDATE country_day SET row_count = counted.row_count, merged_count = counted.row_count
    FROM counted
    WHERE country_day.day = counted.day
    """


def id_ranges(sale_ids: Sequence[int]) -> str:
    """Return ascending ids as a PostgreSQL multirange: {[1,3]}, or {[1,1],[3,3]} if there are gaps."""
    if sale_ids[-1] - sale_ids[0] == len(sale_ids) - 1:
        return f"{{[{sale_ids[0]},{sale_ids[-1]}]}}"
    return f"{{{','.join(f'[{sale_id},{sale_id}]' for sale_id in sale_ids)}}}"


def fold_if_due(sale_ids: Sequence[int]) -> None:
    """Request a fold if these new, ascending ids include a multiple of FOLD_INTERVAL: the journal stays short."""
    if sale_ids[-1] // FOLD_INTERVAL * FOLD_INTERVAL >= sale_ids[0]:
        request_fold(fold_all)


def fold_all() -> None:
    """Move all journal entries into the totals, unless another session folds or holds folds back."""
    while fold() >= FOLD_LIMIT:
        pass


@FOLD_SECONDS.labels("country").time()
def fold() -> int:
    """Move about FOLD_LIMIT sales from the journal into the totals and return their number.

    Returns 0 at once while another fold runs.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        if not try_fold_lock(cursor):
            return 0
        cursor.execute(FOLD, {"limit": FOLD_LIMIT})
        moved: int = cursor.fetchone()[0]
    for _ in range(MERGE_LIMIT):
        if not _merge_day():
            break
    return moved


def _merge_day() -> bool:
    """Merge the rows of one day that has many. Return whether there was one.

    Each day has a transaction of its own, so that a day with very many rows cannot undo a fold at the time limit.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        if not try_fold_lock(cursor):
            return False
        cursor.execute(MERGE)
        return bool(cursor.rowcount)
