"""Both ways to find a page of sales return the same sales, and a truncated page says so."""

import pytest
from django.db import OperationalError, connection

from sales.backoffice import sale_search
from sales.backoffice.sale_search import Plan, find_page, has_id
from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.tests.helpers import sale_event
from sales.totals import folding
from salesengine import distribution
from salesengine.operations.statement_timeout import StatementTimedOut, statement_timeout

pytestmark = pytest.mark.django_db

ALL = Sale.objects.all()


@pytest.fixture(autouse=True)
def sales():
    """Store ten sales, two on each day. Brand a has the newest three, brand b the oldest two."""
    brands = ["b", "b", None, "c", None, "c", None, "a", "a", "a"]
    record_sales(
        [
            sale_event(ID_ORDER=str(number), BRAND=brand, DATE_PAYMENT=f"2021-01-{1 + number // 2:02}")
            for number, brand in enumerate(brands)
        ]
    )


def expect_many_matches(monkeypatch, *, has_index):
    """Make the planner estimate too many matches to fetch and sort."""
    monkeypatch.setattr(sale_search, "_plan", lambda query: Plan(1_000_000, 1_000_000, has_index))


@pytest.fixture
def scan_first(monkeypatch):
    expect_many_matches(monkeypatch, has_index=True)
    monkeypatch.setattr(sale_search, "RETRY_TIMEOUT", 1)


@pytest.fixture
def scan_only(monkeypatch):
    expect_many_matches(monkeypatch, has_index=False)


def orders(page):
    by_id = dict(Sale.objects.values_list("pk", "id_order"))
    return [by_id[sale_id] for sale_id, _ in page.keys]


@pytest.mark.parametrize("way", ["fetch and sort", "scan", "scan on a cluster"])
def test_both_ways_find_the_same_pages_in_either_order(way, monkeypatch):
    if way != "fetch and sort":
        expect_many_matches(monkeypatch, has_index=True)
    monkeypatch.setattr(distribution, "_answers", {"default": way == "scan on a cluster"})
    matching = Sale.objects.exclude(brand="a")
    pages = [find_page(matching, ALL, size=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert [orders(page) for page in pages] == [["6", "5", "4"], ["3", "2", "1"], ["0"], []]
    assert [page.has_more for page in pages] == [True, True, False, False]
    assert orders(find_page(matching, ALL, size=3, newest_first=False)) == ["0", "1", "2"]


def test_fetch_and_sort_counts_the_matches_exactly():
    page = find_page(Sale.objects.filter(brand="c"), ALL, size=1)
    assert (orders(page), page.count, page.is_exact, page.has_more) == (["5"], 2, True, True)


def test_a_scan_estimates_the_number_of_matches(scan_first):
    page = find_page(Sale.objects.filter(brand="a"), ALL, size=1)
    assert (orders(page), page.is_exact, page.is_truncated) == (["9"], False, False)
    assert page.count == 1_000_000


def test_a_brand_named_like_a_step_of_a_plan_does_not_hide_the_index():
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    query = sale_search._sql(Sale.objects.filter(brand="Seq Scan"))
    assert sale_search._plan(query).has_index


def test_the_id_of_a_sale_is_looked_up_in_an_index():
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    assert "Seq Scan" not in Sale.objects.filter(has_id("7", ("id_order", "id_buyer"))).explain()


def test_fetch_and_sort_finds_what_a_scan_does_not_reach(scan_first, monkeypatch):
    monkeypatch.setattr(sale_search, "SCAN_LIMIT", 4)
    page = find_page(Sale.objects.filter(brand="b"), ALL, size=5)
    assert (orders(page), page.count, page.is_exact, page.is_truncated) == (["1", "0"], 2, True, False)


def test_after_a_scan_fetch_and_sort_has_a_short_timeout(scan_first, monkeypatch):
    def sleep(*arguments):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(5)")

    monkeypatch.setattr(sale_search, "_fetch_and_sort", sleep)
    monkeypatch.setattr(sale_search, "RETRY_TIMEOUT", 0.01)
    monkeypatch.setattr(sale_search, "SCAN_LIMIT", 4)
    assert find_page(Sale.objects.filter(brand="b"), ALL, size=5).is_truncated


def test_a_truncated_page_says_how_far_the_scan_got(scan_only, monkeypatch):
    monkeypatch.setattr(sale_search, "SCAN_LIMIT", 4)
    page = find_page(Sale.objects.exclude(brand="a"), ALL, size=5)
    assert (orders(page), page.is_exact, page.is_truncated, page.has_more) == (["6"], False, True, False)
    assert page.scanned_until == Sale.objects.get(id_order="6").date_payment


def test_a_cluster_searches_all_sales_of_the_nearest_days(scan_only, monkeypatch):
    monkeypatch.setattr(distribution, "_answers", {"default": True})
    monkeypatch.setattr(sale_search, "SCAN_LIMIT", 1)
    record_sales([sale_event(ID_ORDER="noon", BRAND="a", DATE_PAYMENT="2021-01-05T12:00")])
    folding.fold()
    page = find_page(Sale.objects.exclude(brand="c"), ALL, size=5)
    assert orders(page) == ["noon", "9", "8"]
    assert page.scanned_until == Sale.objects.get(id_order="8").date_payment


def test_a_scan_of_the_whole_period_is_not_truncated(scan_only, monkeypatch):
    monkeypatch.setattr(sale_search, "SCAN_LIMIT", 4)
    period = Sale.objects.filter(date_payment__lt="2021-01-02T00:00Z")
    page = find_page(period.filter(brand="b"), period, size=5)
    assert (orders(page), page.count, page.is_exact, page.is_truncated) == (["1", "0"], 2, True, False)


def test_a_thorough_search_finds_all_matches(scan_only, monkeypatch):
    monkeypatch.setattr(sale_search, "SCAN_LIMIT", 1)
    page = find_page(Sale.objects.filter(brand="b"), ALL, size=5, thorough=True)
    assert (orders(page), page.is_truncated) == (["1", "0"], False)


def test_an_impossible_filter_matches_nothing():
    assert find_page(Sale.objects.filter(pk__in=[]), ALL, size=5) == sale_search.NO_MATCHES


def test_a_query_is_stopped_after_its_timeout():
    with pytest.raises(StatementTimedOut), statement_timeout(0.05), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(5)")
    assert Sale.objects.count() == 10  # the connection still works


def test_a_query_that_somebody_cancels_has_not_reached_its_timeout():
    with pytest.raises(OperationalError), statement_timeout(60), connection.cursor() as cursor:
        cursor.execute("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(1)")


def test_the_estimate_of_a_cluster_is_that_of_one_shard_times_their_number():
    shard = {"Node Type": "Seq Scan", "Plan Rows": 434, "Total Cost": 700.0}
    job = {"Task Count": 8, "Tasks": [{"Remote Plan": [[{"Plan": shard}]]}]}
    plan = {"Node Type": "Custom Scan", "Plan Rows": 100_000, "Total Cost": 0.0, "Distributed Query": {"Job": job}}

    assert sale_search._read_plan(shard) == Plan(434, 700.0, has_index=True)
    assert sale_search._read_plan(plan) == Plan(8 * 434, 8 * 700.0, has_index=sale_search.COST_LIMIT >= 8 * 700.0)
    assert sale_search._read_plan(plan | {"Distributed Query": {"Job": {"Tasks": []}}}).rows == 0
