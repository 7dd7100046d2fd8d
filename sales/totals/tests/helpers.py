"""Sales between countries, the view that adds them up, and the ledger."""

from django.db import connection

from sales.corrections.tests.helpers import correct
from sales.corrections.tests.helpers import void as void_correction
from sales.ingest.writer import record_plain_sales
from sales.models import LedgerEntry
from sales.tests.helpers import sale_event
from sales.totals.ledger import NO_ORIGIN


def unfolded():
    """Return the entries of the ledger that are not folded."""
    return LedgerEntry.objects.filter(position=None)


def void(*sale_ids):
    """Void sales, all in one transaction."""
    correct(*(void_correction(ID=sale_id) for sale_id in sale_ids))


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
