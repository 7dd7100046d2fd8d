"""The pages of buyers and sellers have exact figures, for any id."""

import datetime
import html
import re
from decimal import Decimal

import pytest
from model_bakery import baker

from countries.models import Country
from sales.backoffice import trader_pages
from sales.backoffice.links import trader_url
from sales.backoffice.sale_search import fetch_in_order
from sales.backoffice.trader_history import history
from sales.ingest.writer import record_sales
from sales.tests.helpers import sale_event
from sales.totals.tests.helpers import void
from salesengine.operations.statement_timeout import StatementTimedOut
from salesengine.tests.clients import staff_client

pytestmark = pytest.mark.django_db

UNUSUAL_IDS = [
    "a/b",
    "/",
    "//a//",
    ".",
    "..",
    "a b",
    " ",
    "é ü 漢",
    "100%",
    "%2F",
    "a?b#c&d=e",
    "<b>'\"",
    "\\",
    "a\nb",
    "x" * 64,
]


def get(client, side, trader_id, query=""):
    return client.get(trader_url(side, trader_id) + query)


@pytest.mark.parametrize("side", ["buyer", "seller"])
@pytest.mark.parametrize("trader_id", UNUSUAL_IDS)
def test_any_id_has_a_page_that_links_to_its_sales(admin_client, side, trader_id):
    record_sales([sale_event(**{f"ID_{side.upper()}": trader_id}), sale_event()])
    response = get(admin_client, side, trader_id)
    assert response.status_code == 200
    assert response.context["trader"].sales_count == 1
    (url,) = set(
        re.findall(r'href="(/admin/sales/sale/\?id_(?:buyer|seller)__exact=[^"&]*)"', response.content.decode())
    )
    assert len(admin_client.get(html.unescape(url)).context["cl"].result_list) == 1


@pytest.mark.parametrize("path", ["/admin/sales/buyer/nobody/", "/admin/sales/seller/a/b/", "/admin/sales/buyer/%00/"])
def test_an_id_without_sales_is_not_found(admin_client, path):
    record_sales([sale_event()])
    assert admin_client.get(path).status_code == 404


def test_all_figures_agree_with_the_sales(admin_client):
    baker.make(Country, id_country="1", country_name="One")
    mine = {"ID_BUYER": "me", "ID_BUYER_COUNTRY": "1", "ID_SELLER_COUNTRY": "2"}
    record_sales(
        [
            sale_event(**mine, DATE_PAYMENT="2020-11-30T23:59:59", REVENUE="0.10", CATEGORY="bags"),
            sale_event(**mine, DATE_PAYMENT="2021-01-01", REVENUE="100", CATEGORY=None),
            sale_event(**mine | {"ID_SELLER_COUNTRY": "1"}, DATE_PAYMENT="2021-01-31T23:00:00", REVENUE="-0.20"),
            sale_event(ID_BUYER="other"),
        ]
    )
    context = get(admin_client, "buyer", "me").context
    history = context["trader"].history
    assert (history.count, history.revenue) == (3, Decimal("99.90"))
    assert history.first == datetime.datetime(2020, 11, 30, 23, 59, 59, tzinfo=datetime.UTC)
    assert history.last == datetime.datetime(2021, 1, 31, 23, tzinfo=datetime.UTC)
    assert [row[:3] for row in context["months"]] == [
        ("2020-11", 1, Decimal("0.10")),
        ("2020-12", 0, 0),
        ("2021-01", 2, Decimal("99.80")),
    ]
    (*_, categories), (*_, countries) = context["tables"]
    assert [row[:3] for row in categories] == [
        ("none", 1, 100),
        ("bags", 1, Decimal("0.10")),
        ("clothing", 1, Decimal("-0.20")),
    ]
    assert [row[:2] for row in countries] == [("2", 2), ("One", 1)]
    assert [row.title for row in context["own_countries"]] == ["One"]
    assert context["chart"].data["datasets"][0]["data"] == [0.1, 0, 99.8]
    assert [sale.date_payment.month for sale in context["trader"].newest] == [1, 1, 11]


def test_every_number_links_to_its_sales(admin_client):
    record_sales(
        [
            sale_event(ID_SELLER="s", DATE_PAYMENT="2021-02-28T23:59:59", CATEGORY="bags", ID_BUYER_COUNTRY="1"),
            sale_event(ID_SELLER="s", DATE_PAYMENT="2021-03-01", CATEGORY=None, ID_BUYER_COUNTRY="2"),
            sale_event(ID_SELLER="s", DATE_PAYMENT="2021-03-31T12:00", CATEGORY="bags", ID_BUYER_COUNTRY="2"),
        ]
    )
    context = get(admin_client, "seller", "s").context
    rows = [*context["months"], *context["own_countries"], *(row for *_, table in context["tables"] for row in table)]
    assert len(rows) == 7
    for row in rows:
        assert len(admin_client.get(row.url).context["cl"].result_list) == row.number, row


def test_many_sales_are_added_up_on_demand(admin_client, monkeypatch):
    monkeypatch.setattr(trader_pages, "HISTORY_LIMIT", 2)
    record_sales([sale_event(ID_BUYER="b")] * 3)
    response = get(admin_client, "buyer", "b")
    trader = response.context["trader"]
    assert (trader.history, len(trader.newest)) == (None, 3)
    assert "More than 2 sales</a>. Adding them up" in response.content.decode()
    assert get(admin_client, "buyer", "b", "?figures=1").context["trader"].history.count == 3


def test_the_page_of_a_sale_leaves_out_another_one_that_is_voided_meanwhile(admin_client, monkeypatch):
    first, second = record_sales([sale_event(ID_BUYER="b")] * 2).ids

    def fetch_late(keys):
        void(second)
        return fetch_in_order(keys)

    monkeypatch.setattr(trader_pages, "fetch_in_order", fetch_late)
    response = admin_client.get(f"/admin/sales/sale/{first}/change/")

    assert [[sale.pk for sale in trader.newest] for trader in response.context["traders"]] == [[first], [first]]


def test_a_page_says_when_adding_up_timed_out(admin_client, monkeypatch):
    def fail(side, trader_id, newest, limit=None):
        if limit is None:
            raise StatementTimedOut
        return history(side, trader_id, newest, limit)

    monkeypatch.setattr(trader_pages, "HISTORY_LIMIT", 1)
    monkeypatch.setattr(trader_pages, "history", fail)
    record_sales([sale_event(ID_BUYER="b")] * 2)
    response = get(admin_client, "buyer", "b", "?figures=1")
    assert "Adding up more than 1 sale was stopped after 5 seconds" in response.content.decode()
    assert len(response.context["trader"].newest) == 2


def test_payments_thousands_of_years_apart_leave_out_empty_months(admin_client):
    record_sales([sale_event(ID_BUYER="b", DATE_PAYMENT=paid) for paid in ("0001-01-01", "9999-12-31T23:00")])
    months = get(admin_client, "buyer", "b").context["months"]
    assert [row.title for row in months] == ["0001-01", "9999-12"]


def test_staff_need_the_permission_to_view_sales(client):
    record_sales([sale_event(ID_BUYER="b")])
    assert get(client, "buyer", "b").status_code == 302
    assert get(staff_client(), "buyer", "b").status_code == 403
