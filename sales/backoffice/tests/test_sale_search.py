"""Pages of sales are the same whichever way they are found, and it is said when not all sales were looked through."""

import pytest
from django.db import connection

from sales.backoffice import sale_search as finding
from sales.backoffice.sale_search import Plan, find_page
from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.tests.helpers import sale_event
from salesengine.operations.statement_timeout import StatementTimedOut, statement_timeout

pytestmark = pytest.mark.django_db

ALL = Sale.objects.all()


@pytest.fixture(autouse=True)
def sales():
    """Ten: those of brand a are the newest three, b the oldest two, and two sales share each moment."""
    brands = ["b", "b", None, "c", None, "c", None, "a", "a", "a"]
    record_sales(
        [
            sale_event(ID_ORDER=str(number), BRAND=brand, DATE_PAYMENT=f"2021-01-{1 + number // 2:02}")
            for number, brand in enumerate(brands)
        ]
    )


def plan(monkeypatch, *, has_index):
    """Let PostgreSQL say that there are too many to fetch."""
    monkeypatch.setattr(finding, "_plan", lambda found: Plan(1_000_000, 1_000_000, has_index))


@pytest.fixture
def walking(monkeypatch):
    plan(monkeypatch, has_index=True)
    monkeypatch.setattr(finding, "MOMENT", 1)


@pytest.fixture
def no_index(monkeypatch):
    plan(monkeypatch, has_index=False)


def orders(page):
    by_id = dict(Sale.objects.values_list("pk", "id_order"))
    return [by_id[sale_id] for sale_id in page.ids]


@pytest.mark.parametrize("way", ["by index", "walking"])
def test_pages_follow_each_other_either_way_round(way, monkeypatch):
    if way == "walking":
        plan(monkeypatch, has_index=True)
    matching = Sale.objects.exclude(brand="a")
    pages = [find_page(matching, ALL, size=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert [orders(page) for page in pages] == [["6", "5", "4"], ["3", "2", "1"], ["0"], []]
    assert [page.has_more for page in pages] == [True, True, False, False]
    assert orders(find_page(matching, ALL, size=3, newest_first=False)) == ["0", "1", "2"]


def test_a_page_by_index_knows_how_many_match():
    page = find_page(Sale.objects.filter(brand="c"), ALL, size=1)
    assert (orders(page), page.count, page.is_exact, page.has_more) == (["5"], 2, True, True)


def test_a_walk_estimates_how_many_match(walking):
    page = find_page(Sale.objects.filter(brand="a"), ALL, size=1)
    assert (orders(page), page.is_exact, page.is_truncated) == (["9"], False, False)
    assert page.count == 1_000_000


def test_what_a_walk_does_not_reach_the_index_finds(walking, monkeypatch):
    monkeypatch.setattr(finding, "DEPTH", 4)
    page = find_page(Sale.objects.filter(brand="b"), ALL, size=5)
    assert (orders(page), page.count, page.is_exact, page.is_truncated) == (["1", "0"], 2, True, False)


def test_the_index_has_only_a_moment_after_a_walk(walking, monkeypatch):
    def late(*arguments):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(5)")

    monkeypatch.setattr(finding, "_by_index", late)
    monkeypatch.setattr(finding, "MOMENT", 0.01)
    monkeypatch.setattr(finding, "DEPTH", 4)
    assert find_page(Sale.objects.filter(brand="b"), ALL, size=5).is_truncated


def test_it_is_said_how_far_a_walk_came(no_index, monkeypatch):
    monkeypatch.setattr(finding, "DEPTH", 4)
    page = find_page(Sale.objects.exclude(brand="a"), ALL, size=5)
    assert (orders(page), page.is_exact, page.is_truncated, page.has_more) == (["6"], False, True, False)
    assert page.looked_until == Sale.objects.get(id_order="6").date_payment


def test_a_walk_through_all_days_asked_for_is_whole(no_index, monkeypatch):
    monkeypatch.setattr(finding, "DEPTH", 4)
    period = Sale.objects.filter(date_payment__lt="2021-01-02T00:00Z")
    page = find_page(period.filter(brand="b"), period, size=5)
    assert (orders(page), page.count, page.is_exact, page.is_truncated) == (["1", "0"], 2, True, False)


def test_all_are_looked_through_when_asked_for(no_index, monkeypatch):
    monkeypatch.setattr(finding, "DEPTH", 1)
    page = find_page(Sale.objects.filter(brand="b"), ALL, size=5, thorough=True)
    assert (orders(page), page.is_truncated) == (["1", "0"], False)


def test_what_cannot_be_matches_nothing():
    assert find_page(Sale.objects.filter(pk__in=[]), ALL, size=5) == finding.NO_MATCHES


def test_a_query_is_stopped_when_its_time_is_up():
    with pytest.raises(StatementTimedOut), statement_timeout(0.05), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(5)")
    assert Sale.objects.count() == 10  # the connection is as good as before
