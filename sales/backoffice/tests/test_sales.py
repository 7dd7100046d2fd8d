"""Staff can list, filter and search sales, and cannot change them."""

import pytest
from django.db import OperationalError
from model_bakery import baker

from countries.models import Country
from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.tests.helpers import sale_event
from salesengine.tests.clients import staff_client

pytestmark = pytest.mark.django_db
LIST = "/admin/sales/sale/"


@pytest.fixture(autouse=True)
def sales():
    baker.make(Country, id_country="170", country_name="France")
    baker.make(Country, id_country="203", country_name="Spain")
    record_sales(
        [
            sale_event(ID_ORDER="first", ID_PRODUCT="p1", DATE_PAYMENT="2021-01-01"),
            sale_event(ID_ORDER="second", ID_BUYER="b2", CATEGORY="shoes", DATE_PAYMENT="2021-01-02T23:59:59"),
            sale_event(ID_ORDER="third", ID_SELLER="s3", ID_SELLER_COUNTRY="999", DATE_PAYMENT="2021-01-03"),
        ]
    )


def orders(client, **query):
    response = client.get(LIST, query)
    assert response.status_code == 200
    return [sale.id_order for sale in response.context["cl"].result_list]


def test_the_newest_sales_come_first(admin_client):
    assert orders(admin_client) == ["third", "second", "first"]


def test_countries_have_their_names_and_an_unknown_country_has_its_id(admin_client):
    page = admin_client.get(LIST).content.decode()

    assert page.count('<a href="/admin/sales/seller/6723223/">6723223</a> (Spain)') == 2
    assert '<a href="/admin/sales/seller/s3/">s3</a> (999)' in page
    assert page.count("</a> (France)") == 3


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"category__exact": "shoes"}, ["second"]),
        ({"seller_country__id_country__exact": "203"}, ["second", "first"]),
        ({"seller_country__id_country__exact": "999"}, ["third"]),
        ({"buyer_country__id_country__exact": "170", "category__exact": "clothing"}, ["third", "first"]),
        ({"date_payment_from": "2021-01-02", "date_payment_to": "2021-01-02"}, ["second"]),
        ({"date_payment_from": "2021-01-03"}, ["third"]),
    ],
)
def test_filters_select_the_matching_sales(admin_client, query, found):
    assert orders(admin_client, **query) == found


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("second", ["second"]),
        ("p1", ["first"]),
        ("b2", ["second"]),
        ("s3", ["third"]),
        ("sec", []),
        ("SECOND", []),
        ("34033734", []),
        ("'; DROP TABLE sales; --", []),
    ],
)
def test_the_search_finds_whole_ids(admin_client, words, found):
    assert orders(admin_client, q=words) == found


def test_a_list_without_matches_offers_to_reset_the_search_and_filters(admin_client):
    page = admin_client.get(LIST, {"q": "nothing"}).content.decode()

    assert "No sales found" in page
    assert "Reset search and filters" in page
    assert "yielded" not in page


@pytest.mark.parametrize(
    "query",
    [
        "category__exact=%00",
        "q=%00",
        "id__exact=9999999999999999999999",
        "date_payment_from=10000-01-01",
        "p=x",
        "date_payment__year=0",
        "brand__regex=(",
    ],
)
def test_an_invalid_query_is_not_a_server_error(admin_client, query):
    assert admin_client.get(f"{LIST}?{query}").status_code < 500


def test_an_unavailable_database_is_reported_in_words(admin_client, monkeypatch):
    def fail(*arguments):
        raise OperationalError("gone")

    monkeypatch.setattr("sales.backoffice.sales.SaleAdmin.get_queryset", fail)
    response = admin_client.get(LIST)

    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert "The database is unavailable" in response.content.decode()


def test_a_sale_can_be_viewed_and_not_changed(admin_client):
    sale = Sale.objects.get(id_order="third")

    page = admin_client.get(f"{LIST}{sale.pk}/change/").content.decode()

    assert "s3</a> (999)" in page
    assert '<span title="57.27456">57.27</span>' in page
    assert "2021-01-03 00:00:00" in page
    assert 'name="_save"' not in page


@pytest.mark.parametrize(
    ("list_url", "page", "name"),
    [(LIST, "change", "sale"), (LIST, "correct", "sale"), ("/admin/sales/voidedsale/", "change", "voided sale")],
)
def test_an_id_that_no_sale_has_leads_to_the_list(admin_client, list_url, page, name):
    response = admin_client.get(f"{list_url}99999999/{page}/", follow=True)

    assert response.redirect_chain == [(list_url, 302)]
    assert f"There is no {name} with the ID 99999999." in response.content.decode()


@pytest.mark.parametrize("path", ["add/", "{pk}/delete/"])
def test_nothing_can_be_added_or_deleted(admin_client, path):
    url = LIST + path.format(pk=Sale.objects.latest("id").pk)

    assert [admin_client.get(url).status_code, admin_client.post(url, {"post": "yes"}).status_code] == [403, 403]
    assert Sale.objects.count() == 3


def test_nothing_can_be_changed(admin_client):
    sale = Sale.objects.get(id_order="first")

    response = admin_client.post(f"{LIST}{sale.pk}/change/", {"id_order": "forged"})

    assert response.status_code == 403
    assert Sale.objects.filter(id_order="first").exists()


def test_the_delete_action_does_not_delete_sales(admin_client):
    ids = list(Sale.objects.values_list("pk", flat=True))

    admin_client.post(LIST, {"action": "delete_selected", "_selected_action": ids, "post": "yes"})

    assert Sale.objects.count() == 3


def test_anonymous_users_are_sent_to_the_login(client):
    assert client.get(LIST).status_code == 302


@pytest.mark.parametrize(("permissions", "status"), [(["sales.view_sale"], 200), ([], 403)])
def test_staff_need_the_permission_to_view_sales(permissions, status):
    assert staff_client(*permissions).get(LIST).status_code == status


def test_the_number_of_queries_does_not_depend_on_the_number_of_sales(admin_client, django_assert_max_num_queries):
    record_sales([sale_event()] * 60)

    with django_assert_max_num_queries(12):
        assert len(orders(admin_client)) == 50
