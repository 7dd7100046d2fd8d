"""The back office's search box finds sales and countries."""

import re

import pytest
from django.core.cache import cache
from model_bakery import baker

from countries.models import Country
from sales.corrections.tests.helpers import correct, void
from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.tests.helpers import sale_event
from salesengine.tests.clients import allow, staff_client

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def sales():
    cache.clear()  # unfold caches results
    baker.make(Country, id_country="170", country_name="France")
    record_sales([sale_event(ID_ORDER="Order/1", ID_PRODUCT="same", ID_BUYER="same", ID_SELLER="s 3")])
    yield
    cache.clear()


def found(client, text):
    response = client.get("/admin/search/", {"s": text, "extended": "1"})
    return {result.title: str(result.link) for result in response.context["results"]} if response.content else {}


def test_a_whole_id_is_found_in_every_field(admin_client):
    assert found(admin_client, " same ") == {
        "Product same": "/admin/sales/sale/?id_product__exact=same",
        "Buyer same": "/admin/sales/buyer/same/",
    }
    assert found(admin_client, "Order/1") == {"Order Order/1": "/admin/sales/sale/?id_order__exact=Order%2F1"}
    assert found(admin_client, "s 3") == {"Seller s 3": "/admin/sales/seller/s%25203/"}
    assert found(admin_client, "sam") == found(admin_client, "\0") == {}


def test_a_sale_is_found_by_its_own_id(admin_client):
    sale = Sale.objects.get()
    assert found(admin_client, str(sale.pk)) == {f"Sale {sale.pk}": f"/admin/sales/sale/{sale.pk}/change/"}
    assert found(admin_client, "9" * 19) == {}


def test_a_voided_sale_is_found_by_its_order_and_its_id(admin_client):
    sale = Sale.objects.get()
    correct(void(ID=sale.pk))
    assert found(admin_client, "Order/1") == {"Order Order/1": "/admin/sales/voidedsale/?q=Order%2F1"}
    assert found(admin_client, str(sale.pk)) == {f"Sale {sale.pk}": f"/admin/sales/voidedsale/{sale.pk}/change/"}


def test_countries_are_found_by_id_and_name_and_reports_by_title(admin_client):
    assert found(admin_client, "170") == {"France": "/admin/countries/country/170/change/"}
    assert "France" in found(admin_client, "franc")
    assert found(admin_client, "Largest buy") == {"Largest buyers": "/admin/analytics/report/largest_buyers/"}


def test_users_find_only_what_they_may_view():
    client = staff_client()
    assert found(client, "same") == found(client, "170") == found(client, "Largest") == {}
    allow(client, "sales.view_sale")
    assert len(found(client, "same")) == 2


def test_a_search_that_finds_nothing_says_so(admin_client):
    page = admin_client.get("/admin/search/", {"s": "No<such>Id", "extended": "1"}).content.decode()
    # unfold shows only the element with this id.
    [shown] = re.findall(r'<p id="command-results-list"[^>]*>(.*?)</p>', page)
    assert shown.startswith("Nothing was found for “No&lt;such&gt;Id”.")
