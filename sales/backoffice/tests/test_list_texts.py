"""The list of sales says in plain words what it shows, and what it does not."""

import html
import re

import pytest

from sales.backoffice import sale_list
from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.tests.helpers import sale_event

pytestmark = pytest.mark.django_db
SALES = "/admin/sales/sale/"


def page(client, url, **query):
    return html.unescape(client.get(url, query).content.decode())


def text(client, url, **query):
    """Return the words of a page."""
    return " ".join(re.sub(r"<[^>]*>", " ", page(client, url, **query)).split())


def test_a_list_that_cannot_show_all_sales_says_so_on_its_first_page(admin_client, monkeypatch):
    monkeypatch.setattr(sale_list, "LAST_PAGE", 2)
    record_sales([sale_event()] * 101)

    first = text(admin_client, SALES)

    assert "The list shows the newest 100 of these sales, 50 on a page." in first
    assert "choose fewer days" in first
    assert "It shows the oldest 100 of these sales" in text(admin_client, SALES, p="2", o="0")


def test_a_list_that_shows_all_sales_does_not_mention_a_limit(admin_client, monkeypatch):
    monkeypatch.setattr(sale_list, "LAST_PAGE", 2)
    record_sales([sale_event()] * 100)

    assert "choose fewer days" not in text(admin_client, SALES, p="2")


def test_a_list_without_sales_says_what_to_change_and_offers_no_new_sale(admin_client):
    record_sales([sale_event()])

    searched = page(admin_client, SALES, q="nothing", category__exact="bags")

    assert "Nothing matches “nothing” and the filters." in searched
    assert "What you can search for: Complete order, product, buyer or seller id" in searched
    assert "Remove one of them, or choose more days" in page(admin_client, SALES, category__exact="bags")
    assert "A filter has an invalid value: see the message above." in page(admin_client, SALES, revenue_from="much")
    assert f"{SALES}add/" not in searched


def test_a_page_after_the_last_leads_to_the_first(admin_client):
    record_sales([sale_event(CATEGORY="bags")] * 51)

    beyond = page(admin_client, SALES, p="3", category__exact="bags")

    assert "The list has no such page." in beyond
    assert "Nothing matches" not in beyond
    assert 'href="?category__exact=bags">Go to the first page' in beyond
    assert "no such page" not in page(admin_client, SALES, p="2")
    assert "no such page" not in page(admin_client, SALES, q="nothing")


def test_sales_go_from_the_seller_to_the_buyer_everywhere(admin_client):
    record_sales([sale_event(ID_SELLER="s-1", ID_BUYER="b-1", ID_PRODUCT=str(number)) for number in range(2)])
    sale = Sale.objects.first()

    for url in (SALES, f"{SALES}{sale.pk}/change/", "/admin/sales/buyer/b-1/"):
        shown = text(admin_client, url)
        assert "Seller → buyer" in shown
        assert re.search(r"s-1 \(203\) → b-1 \(170\)", shown), url


def test_an_order_number_leads_to_the_sales_of_the_order_everywhere(admin_client):
    record_sales([sale_event(ID_ORDER="o&1", ID_BUYER="b-1", ID_PRODUCT=str(number)) for number in range(2)])
    sale = Sale.objects.first()

    for url in (SALES, f"{SALES}{sale.pk}/change/", "/admin/sales/buyer/b-1/"):
        assert f'<a href="{SALES}?id_order__exact=o%261">o&1</a>' in page(admin_client, url), url
