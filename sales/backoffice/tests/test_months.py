"""The pages on sales read only the months that they need, and show the same sales as if they read all."""

import datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sales.backoffice import sale_search
from sales.backoffice.sale_search import fetch_in_order, find_page
from sales.corrections.tests.helpers import correct, void
from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.partitions.months import Month
from sales.tests.helpers import make_months_anew, sale_event
from sales.totals import folding
from sales.totals.overview import latest_sales

pytestmark = pytest.mark.django_db(transaction=True)

ALL = Sale.objects.all()
MONTHS = [datetime.date(2021, month, 1) for month in range(1, 5)]


@pytest.fixture(autouse=True)
def stored():
    """Store two sales in each of four months, and fold them. Return their ids."""
    make_months_anew(MONTHS)
    events = [
        sale_event(DATE_PAYMENT=f"{month:%Y-%m}-{day}", BRAND=f"b{month.month}") for month in MONTHS for day in (10, 20)
    ]
    ids = record_sales(events).ids
    folding.fold()
    return ids


def months_read(read):
    """Call `read`, and return which of MONTHS are in the plans of its statements."""
    with CaptureQueriesContext(connection) as queries:
        read()
    statements = [query["sql"] for query in queries if 'FROM "sales"' in query["sql"] and "EXPLAIN" not in query["sql"]]
    with connection.cursor() as cursor:
        plans = []
        for statement in statements:
            cursor.execute(f"EXPLAIN {statement}")
            plans += cursor.fetchall()
    return {month.month for month in MONTHS if f" on {Month.of(month).table}" in str(plans)}


def test_the_first_page_reads_the_newest_month():
    assert months_read(lambda: fetch_in_order(find_page(ALL, ALL, size=1).keys)) == {4}


def test_the_oldest_page_reads_the_oldest_month():
    assert months_read(lambda: fetch_in_order(find_page(ALL, ALL, size=1, newest_first=False).keys)) == {1}


def test_the_latest_sales_of_the_home_page_are_read_from_their_month():
    assert months_read(lambda: latest_sales(datetime.date(2021, 3, 31), 1)) == {2, 3}


def test_a_page_ends_in_older_months_if_the_newest_sales_were_voided_since_the_last_fold(stored):
    correct(*(void(ID=sale_id) for sale_id in stored[-3:]))

    page = find_page(ALL, ALL, size=2)

    assert ([key.id for key in page.keys], page.has_more) == ([stored[4], stored[3]], True)


def test_a_scan_that_voided_sales_shorten_says_how_far_it_got(stored, monkeypatch):
    monkeypatch.setattr(sale_search, "SCAN_LIMIT", 3)
    monkeypatch.setattr(sale_search, "_plan", lambda query: sale_search.Plan(10**6, 10**6, has_index=False))
    correct(void(ID=stored[-1]))

    page = find_page(Sale.objects.filter(brand="b1"), ALL, size=2)

    assert (page.keys, page.is_exact) == ([], False)
    assert page.scanned_until == Sale.objects.get(pk=stored[5]).date_payment


def test_a_month_that_is_too_small_for_an_index_does_not_hide_those_of_others(monkeypatch):
    query = sale_search._sql(Sale.objects.filter(brand="b1"))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sales")
    assert sale_search._plan(query).has_index

    monkeypatch.setattr(sale_search, "COST_LIMIT", 0)
    assert not sale_search._plan(query).has_index
