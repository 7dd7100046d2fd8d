"""Sales between countries, the view that adds them up, and the ledger."""

from dataclasses import replace

from django.db import connection, transaction

from sales.ingest.writer import COLUMNS, record_plain_sales
from sales.models import LedgerEntry, VoidedSale
from sales.tests.helpers import sale_event
from sales.totals import ledger
from sales.totals.figures import add_up
from sales.totals.ledger import NO_ORIGIN, NewEntry


def unfolded():
    """Return the entries of the ledger that are not folded."""
    return LedgerEntry.objects.filter(position=None)


def void(*sale_ids):
    """Take wrong sales out of `sales`, with an entry in the ledger."""
    columns = f"id, {COLUMNS}, received_at"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"WITH wrong AS (DELETE FROM sales WHERE id = ANY(%s) RETURNING {columns}) "
            f"INSERT INTO voided_sale ({columns}, voided_by, reason) SELECT {columns}, 'jo', 'wrong price' FROM wrong",
            [list(sale_ids)],
        )
        rows = VoidedSale.objects.filter(pk__in=sale_ids).values_list("category", "date_payment", "revenue")
        figures = add_up(((category, paid.date()), -1, -revenue) for category, paid, revenue in rows)
        entry = NewEntry("jo", ["c-1"], voided=len(sale_ids), tallies=ledger.tallies(figures))
        ledger.append(cursor, replace(entry, sale_ids=ledger.id_ranges(sorted(sale_ids))))


def record_singles(events):
    """Store events as the API stores single ones."""
    return record_plain_sales([(event, NO_ORIGIN) for event in events])


def country_sales():
    """Return the sums of the view country_sales: {(month and day, seller, buyer): (number of sales, revenue)}."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT day, id_seller_country, id_buyer_country, SUM(sales_count), SUM(revenue)
            FROM country_sales GROUP BY 1, 2, 3
            """
        )
        rows = cursor.fetchall()
    return {(f"{day:%m-%d}", seller, buyer): (count, revenue) for day, seller, buyer, count, revenue in rows}


def trade(seller="1", buyer="2", **changes):
    """Return a validated event from one country to another."""
    return sale_event(ID_SELLER_COUNTRY=seller, ID_BUYER_COUNTRY=buyer, **changes)
