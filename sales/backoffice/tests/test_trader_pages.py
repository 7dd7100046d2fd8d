"""The pages of buyers and sellers: every figure, for any id."""

import datetime
import html
import re
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from model_bakery import baker

from countries.models import Country
from sales.backoffice import trader_pages
from sales.backoffice.links import trader_address
from sales.ingest.writer import record_sales
from sales.tests.helpers import sale_event
from salesengine.operations.statement_timeout import StatementTimedOut

pytestmark = pytest.mark.django_db

ODD = [
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
    return client.get(trader_address(side, trader_id) + query)


@pytest.mark.parametrize("side", ["buyer", "seller"])
@pytest.mark.parametrize("trader_id", ODD)
def test_any_id_has_a_page(admin_client, side, trader_id):
    record_sales([sale_event(**{f"ID_{side.upper()}": trader_id}), sale_event()])
    response = get(admin_client, side, trader_id)
    assert response.status_code == 200
    assert response.context["shown"].number == 1
    (address,) = set(
        re.findall(r'href="(/admin/sales/sale/\?id_(?:buyer|seller)__exact=[^"&]*)"', response.content.decode())
    )
    assert len(admin_client.get(html.unescape(address)).context["cl"].result_list) == 1


@pytest.mark.parametrize("path", ["/admin/sales/buyer/nobody/", "/admin/sales/seller/a/b/", "/admin/sales/buyer/%00/"])
def test_who_has_no_sale_has_no_page(admin_client, path):
    record_sales([sale_event()])
    assert admin_client.get(path).status_code == 404


def test_all_figures_are_those_of_the_sales(admin_client):
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
    history = context["shown"].history
    assert (history.count, history.revenue) == (3, Decimal("99.90"))
    assert history.first == datetime.datetime(2020, 11, 30, 23, 59, 59, tzinfo=datetime.UTC)
    assert history.last == datetime.datetime(2021, 1, 31, 23, tzinfo=datetime.UTC)
    assert [part[:3] for part in context["months"]] == [
        ("2020-11", 1, Decimal("0.10")),
        ("2020-12", 0, 0),
        ("2021-01", 2, Decimal("99.80")),
    ]
    (_, categories), (_, countries) = context["tables"]
    assert [part[:3] for part in categories] == [
        ("none", 1, 100),
        ("bags", 1, Decimal("0.10")),
        ("clothing", 1, Decimal("-0.20")),
    ]
    assert [part[:2] for part in countries] == [("2", 2), ("One", 1)]
    assert [part.title for part in context["homes"]] == ["One"]
    assert context["chart"].data["datasets"][0]["data"] == [0.1, 0, 99.8]
    assert [sale.date_payment.month for sale in context["shown"].recent] == [1, 1, 11]


def test_every_number_leads_to_the_sales_it_is_of(admin_client):
    record_sales(
        [
            sale_event(ID_SELLER="s", DATE_PAYMENT="2021-02-28T23:59:59", CATEGORY="bags", ID_BUYER_COUNTRY="1"),
            sale_event(ID_SELLER="s", DATE_PAYMENT="2021-03-01", CATEGORY=None, ID_BUYER_COUNTRY="2"),
            sale_event(ID_SELLER="s", DATE_PAYMENT="2021-03-31T12:00", CATEGORY="bags", ID_BUYER_COUNTRY="2"),
        ]
    )
    context = get(admin_client, "seller", "s").context
    parts = [*context["months"], *context["homes"], *(part for _, parts in context["tables"] for part in parts)]
    assert len(parts) == 7
    for part in parts:
        assert len(admin_client.get(part.address).context["cl"].result_list) == part.number, part


def test_many_sales_are_added_up_on_demand(admin_client, monkeypatch):
    monkeypatch.setattr(trader_pages, "MANY", 2)
    record_sales([sale_event(ID_BUYER="b")] * 3)
    shown = get(admin_client, "buyer", "b").context["shown"]
    assert (shown.number, shown.history, len(shown.recent)) == (3, None, 3)
    assert get(admin_client, "buyer", "b", "?figures=1").context["shown"].history.count == 3


def test_it_is_said_when_adding_up_took_too_long(admin_client, monkeypatch):
    def fail(*arguments):
        raise StatementTimedOut

    monkeypatch.setattr(trader_pages, "history", fail)
    record_sales([sale_event(ID_BUYER="b")])
    response = get(admin_client, "buyer", "b", "?figures=1")
    assert "took longer than 5 seconds" in response.content.decode()
    assert len(response.context["shown"].recent) == 1


def test_payments_a_thousand_years_apart_make_no_endless_chart(admin_client):
    record_sales([sale_event(ID_BUYER="b", DATE_PAYMENT=paid) for paid in ("0001-01-01", "9999-12-31T23:00")])
    months = get(admin_client, "buyer", "b").context["months"]
    assert [part.title for part in months] == ["0001-01", "9999-12"]


def test_staff_need_the_right_to_view_sales(client):
    record_sales([sale_event(ID_BUYER="b")])
    assert get(client, "buyer", "b").status_code == 302
    client.force_login(User.objects.create_user("clerk", is_staff=True))
    assert get(client, "buyer", "b").status_code == 403
