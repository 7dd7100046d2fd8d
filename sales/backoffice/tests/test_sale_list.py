"""The list of sales has filters, an order, totals, pages and exports."""

import datetime
import html
import re
from decimal import Decimal

import pytest
from model_bakery import baker

from countries.models import Country
from sales.backoffice import sale_list, sale_search
from sales.corrections.tests.helpers import correct, store, void
from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.tests.helpers import sale_event
from sales.totals import folding
from salesengine.operations.statement_timeout import StatementTimedOut
from salesengine.tests.clients import staff_client

pytestmark = pytest.mark.django_db
LIST = "/admin/sales/sale/"


@pytest.fixture(autouse=True)
def sales():
    baker.make(Country, id_country="170", country_name="France", continent="Europe")
    baker.make(Country, id_country="512", country_name="Japan", continent="Asia")
    record_sales(
        [
            sale_event(ID_ORDER="1", REVENUE="10.10", BRAND="Alba", ID_SELLER_COUNTRY="170", ID_BUYER_COUNTRY="512"),
            sale_event(ID_ORDER="2", REVENUE="0.00000000000000000001", BRAND=None, ID_SELLER_COUNTRY="512"),
            sale_event(ID_ORDER="3", REVENUE="-5", BRAND="Nord Alba", CATEGORY=None, ID_SELLER_COUNTRY="9"),
        ]
    )


def listed(client, **query):
    response = client.get(LIST, query)
    assert response.status_code == 200
    return response.context["cl"]


def orders(client, **query):
    return sorted(sale.id_order for sale in listed(client, **query).result_list)


def text_of(client, **query):
    return re.sub("<[^>]+>", "", page(client, **query))


def page(client, **query):
    return html.unescape(client.get(LIST, query).content.decode())


# Filters


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"revenue_from": "10.1"}, ["1"]),
        ({"revenue_from": " 0.00000000000000000001 ", "revenue_to": "0.00000000000000000001"}, ["2"]),
        ({"revenue_from": "0.00000000000000000002", "revenue_to": "10"}, []),
        ({"revenue_to": "-5.00"}, ["3"]),
        ({"category__isnull": "True"}, ["3"]),
        ({"brand__isnull": "on"}, ["2"]),
        ({"brand__isnull": "True", "brand__exact": "Alba"}, []),
        ({"brand__exact": "Alba"}, ["1"]),
        ({"brand__exact": "alba"}, []),
        ({"seller_country__id_country__exact": "9"}, ["3"]),
        ({"seller_continent": "Europe"}, ["1"]),
        ({"seller_continent": "Asia", "buyer_continent": "Europe"}, ["2"]),
        ({"buyer_continent": "Atlantis"}, []),
        ({"id_order__exact": "3", "revenue_from": "", "category__exact": ""}, ["3"]),
    ],
)
def test_filters_select_exactly_the_matching_sales(admin_client, query, found):
    assert orders(admin_client, **query) == found


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"revenue_from": "1,5"}, "Revenue from must be a number, such as 57.25 or -3. No sales are shown."),
        ({"revenue_to": "NaN"}, "Revenue to must be a number, such as 57.25 or -3. No sales are shown."),
        ({"revenue_to": "1e5"}, "Revenue to must be a number, such as 57.25 or -3. No sales are shown."),
        (
            {"category__exact": "Bags"},
            "Category must be one of the categories, not 'Bags'. No sales are shown.",
        ),
        ({"brand__isnull": "maybe"}, "Without a brand must be True, not 'maybe'. No sales are shown."),
        ({"brand__exact": "\0"}, "Brand must not contain the character NUL. No sales are shown."),
        ({"date_payment_from": "soon"}, "A filter has an invalid day, so the list is empty. Write it as 2021-01-31."),
        (
            {"date_payment_from": "2021-06-02", "date_payment_to": "2021-06-01"},
            "The first day is after the last day, so the list is empty.",
        ),
        (
            {"revenue_from": "2", "revenue_to": "1.99"},
            "Revenue to must not be less than Revenue from. No sales are shown.",
        ),
    ],
)
def test_an_invalid_filter_shows_no_sales_and_says_why(admin_client, query, words):
    shown = page(admin_client, **query)
    assert words in shown
    assert "No sales are shown." in shown
    assert orders(admin_client, **query) == []
    assert listed(admin_client, **query).exports == []


@pytest.mark.parametrize(
    "query",
    ["revenue__gte=1", "id__exact=1", "brand__contains=a", "brand__regex=(", "date_payment__year=0", "event_id=1"],
)
def test_other_lookups_are_refused(admin_client, query):
    assert admin_client.get(f"{LIST}?{query}").status_code == 400


@pytest.mark.parametrize("value", ["-1", "0", "x", "1" * 400, "1000000000"])
def test_an_invalid_page_number_becomes_a_valid_one(admin_client, value):
    assert 1 <= listed(admin_client, p=value).page_num <= sale_list.LAST_PAGE


def test_the_form_keeps_the_values_of_the_url(admin_client):
    folding.fold()
    names = {
        "brand__exact": "nobody's",
        "seller_country__id_country__exact": "nowhere",
        "buyer_country__id_country__exact": "9",
        "id_order__exact": "a&b",
    }
    shown = page(admin_client, **names)
    for value in ("nobody's", "nowhere", "9"):
        assert re.search(rf'<option value="{value}" selected>', shown)
    assert 'value="a&b"' in shown
    assert "9 (no name yet)" in shown


def test_every_form_control_of_the_filters_has_a_label(admin_client):
    shown = page(admin_client)
    form = shown[shown.index('id="filter-form"') :]
    controls = re.findall(r"<(?:input|select)(?![^>]*hidden)[^>]*>", form[: form.index("</form>")])
    assert len(controls) == 16
    for control in controls:
        assert "aria-label" in control or f'for="{re.search(r"id=.([^ >]+).[ >]", control)[1]}"' in shown, control


def test_each_active_filter_can_be_removed(admin_client):
    first, second = listed(admin_client, category__isnull="True", revenue_from="1", totals="1", p="2").active_filters
    assert (first.label, first.value, first.url_without) == ("Revenue from", "1.00", "?category__isnull=True")
    assert (second.label, second.value, second.url_without) == ("Without a category", "", "?revenue_from=1")
    (search,) = listed(admin_client, q=" 7 ").active_filters
    assert (search.label, search.value, search.url_without) == ("Search", "7", "?")


def test_an_active_filter_by_country_shows_its_name(admin_client):
    query = {"seller_country__id_country__exact": "170", "buyer_country__id_country__exact": "nowhere"}
    shown = page(admin_client, **query)
    assert 'Seller country: <b title="170">France</b>' in shown
    assert 'Buyer country: <b title="nowhere">nowhere</b>' in shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("1234.5", "<b>1,234.50</b>"),
        ("-1234.567", '<b title="-1,234.567">-1,234.57</b>'),
        ("much", "<b>much</b>"),
    ],
)
def test_an_active_filter_by_revenue_is_written_as_money(admin_client, amount, shown):
    assert f"Revenue from: {shown}" in page(admin_client, revenue_from=amount)


def test_the_number_of_the_last_page_has_thousands_separators(admin_client, monkeypatch):
    monkeypatch.setattr(sale_list.SalesList, "last_page", 1_234)
    assert "<span>of 1,234</span>" in page(admin_client)


@pytest.mark.parametrize("is_folded", [False, True])
def test_brands_are_suggested_for_a_part_of_them(admin_client, is_folded):
    if is_folded:
        folding.fold()

    def suggested(term):
        results = admin_client.get(f"{LIST}brands/", {"term": term}).json()["results"]
        return [brand["id"] for brand in results]

    assert suggested("ALB") == ["Alba", "Nord Alba", "ALB"]
    assert suggested("") == ["Alba", "Nord Alba"]
    assert suggested("100%") == ["100%"]
    assert suggested("\0") == ["Alba", "Nord Alba"]
    assert staff_client().get(f"{LIST}brands/").status_code == 403


# Search


def test_a_sale_is_found_by_its_own_id(admin_client):
    sale = Sale.objects.get(id_order="2")
    assert orders(admin_client, q=f" {sale.pk} ") == ["2"]
    assert orders(admin_client, q=f"{sale.pk}0") == orders(admin_client, q="9" * 5_000) == []


@pytest.mark.parametrize("name", ["q", "id_order__exact"])
def test_an_empty_list_links_to_the_voided_sales_of_the_order(admin_client, name):
    ids = store({"ID_ORDER": "o&1"}, {"ID_ORDER": "o&1"})
    assert "this order or id" not in text_of(admin_client, **{name: "o&1"})
    correct(*(void(ID=pk) for pk in ids))

    assert "2 voided sales have this order or id." in text_of(admin_client, **{name: "o&1"})
    assert '<a href="/admin/sales/voidedsale/?q=o%261">' in page(admin_client, **{name: "o&1"})
    assert "this order or id" not in text_of(admin_client, **{name: "o"})


def test_an_empty_list_links_to_the_voided_sale_with_the_id(admin_client):
    sale = Sale.objects.get(id_order="2")
    correct(void(ID=sale.pk))
    assert "1 voided sale has this order or id." in text_of(admin_client, q=str(sale.pk))


# Order


def test_sales_can_be_listed_with_the_oldest_first(admin_client):
    record_sales([sale_event(ID_ORDER="old", DATE_PAYMENT="2020-01-01")])
    assert [sale.id_order for sale in listed(admin_client, o="0").result_list] == ["old", "1", "2", "3"]
    assert [sale.id_order for sale in listed(admin_client, o="-0").result_list] == ["3", "2", "1", "old"]
    assert [sale.id_order for sale in listed(admin_client, o="6.2").result_list] == ["3", "2", "1", "old"]


# Totals


@pytest.mark.parametrize(
    ("query", "totals"),
    [
        ({}, (3, Decimal("5.10000000000000000001"))),
        ({"category__isnull": "True"}, (1, -5)),
        ({"category__exact": "clothing"}, (2, Decimal("10.10000000000000000001"))),
        ({"category__exact": "clothing", "category__isnull": "True"}, (0, 0)),
        ({"date_payment_from": "2021-01-08"}, (0, 0)),
        ({"date_payment_to": "2021-01-07"}, (3, Decimal("5.10000000000000000001"))),
    ],
)
def test_filters_by_day_and_category_have_totals_at_once(admin_client, query, totals):
    assert listed(admin_client, **query).totals == totals


def test_other_totals_are_added_up_on_demand(admin_client):
    query = {"seller_country__id_country__exact": "170"}
    assert listed(admin_client, **query).totals is None
    assert listed(admin_client, **query, totals="1").totals == (1, Decimal("10.10"))
    assert "revenue 10.10" in re.sub("<[^>]+>", "", page(admin_client, **query, totals="1"))


def test_money_has_two_decimals_and_the_exact_amount_in_the_title(admin_client):
    record_sales([sale_event(ID_ORDER="large", REVENUE="12345.678")])
    assert page(admin_client).count('<span title="12,345.678">12,345.68</span>') == 1
    assert '<span title="12,350.77800000000000000001">12,350.78</span>' in page(admin_client)  # the total


def test_the_page_is_shown_without_totals_that_timed_out(admin_client, monkeypatch):
    def fail(sales):
        raise StatementTimedOut

    monkeypatch.setattr(sale_list, "count_and_sum", fail)
    query = {"brand__exact": "Alba", "totals": "1"}
    assert "stopped after 5 seconds" in page(admin_client, **query)
    assert orders(admin_client, **query) == ["1"]


def test_a_page_that_timed_out_says_so(admin_client, monkeypatch):
    def fail(*arguments, **options):
        raise StatementTimedOut

    monkeypatch.setattr(sale_list, "find_page", fail)
    shown = page(admin_client, brand__exact="Alba")
    assert "stopped after 5 seconds" in shown
    assert "No sales are shown." in shown


def test_totals_by_country_apply_all_filters(admin_client):
    def totals(**query):
        return listed(admin_client, **query, totals="1").totals

    assert totals(seller_continent="Asia") == (1, Decimal("0.00000000000000000001"))
    assert totals(seller_continent="Asia", seller_country__id_country__exact="170") == (0, 0)
    assert totals(seller_country__id_country__exact="9", buyer_continent="Europe") == (1, -5)
    assert totals(seller_country__id_country__exact="9", date_payment_to="2021-01-06") == (0, 0)


def test_an_estimate_is_marked_as_one(admin_client, monkeypatch):
    monkeypatch.setattr(sale_search, "MATCH_LIMIT", -1)
    record_sales([sale_event(BRAND="Alba")] * 60)
    shown = re.sub(r"<[^>]+>|\s+", " ", page(admin_client, brand__exact="Alba"))
    assert re.search(r"about \d+ sales \(estimate\)", re.sub(" +", " ", shown))


def test_a_truncated_list_says_how_far_the_search_got(admin_client, monkeypatch):
    monkeypatch.setattr(sale_search, "_plan", lambda query: sale_search.Plan(50_000, 1_000_000, has_index=False))
    monkeypatch.setattr(sale_search, "SCAN_LIMIT", 1)
    shown = page(admin_client, brand__exact="Alba")
    assert "Only the newest sales of these days were searched, back to 2021-01-07 00:09:24" in shown
    assert "about 50,000" in shown
    assert orders(admin_client, brand__exact="Alba") == []
    assert orders(admin_client, brand__exact="Alba", thorough="1") == ["1"]


# Pages


def test_pages_link_to_each_other(admin_client):
    record_sales([sale_event()] * 100)
    first, last = listed(admin_client, p="1"), listed(admin_client, p="3")
    assert (first.previous_url, first.next_url, first.last_page) == ("", "?p=2", 3)
    assert (last.previous_url, last.next_url) == ("?p=2", "")
    assert len(last.result_list) == 3


def test_new_filters_start_at_the_first_page(admin_client):
    shown = page(admin_client, p="2", o="0", revenue_from="1")
    form = shown[shown.index('id="filter-form"') :]
    hidden = re.findall(r'<input type="hidden" name="([^"]+)"', form[: form.index("</form>")])
    assert hidden == ["o"]


# Exports


def test_the_export_has_the_filters_of_the_list(admin_client):
    query = {"brand__exact": "a&b", "revenue_from": " 1.50 ", "category__isnull": "on", "q": " 7 ", "p": "3"}
    assert dict(listed(admin_client, **query).exports)["XLSX"] == (
        "/admin/analytics/report/sales.xlsx?run=1&minimum=1.50" + "&no_category=true&brand=a%26b&any_id=7"
    )


@pytest.mark.parametrize(("permissions", "number"), [(["analytics.export_report"], 2), ([], 0)])
def test_only_users_who_may_export_see_the_buttons(permissions, number):
    assert page(staff_client("sales.view_sale", *permissions)).count("Export ") == number


# A sale


def test_the_page_of_a_sale_has_its_order_buyer_and_seller(admin_client):
    event = {"ID_ORDER": "o", "ID_BUYER": "b b", "ID_SELLER": "s/s"}
    record_sales(
        [
            sale_event(**event, ID_PRODUCT="first", DATE_PAYMENT="2021-03-01"),
            sale_event(**event, ID_PRODUCT="second", DATE_PAYMENT="2021-03-02"),
            sale_event(**event | {"ID_ORDER": "other"}, ID_PRODUCT="third", DATE_PAYMENT="2021-03-03", REVENUE="-7.5"),
        ]
    )
    sale = listed(admin_client, id_product__exact="first").result_list[0]
    response = admin_client.get(f"{LIST}{sale.pk}/change/")

    assert [line.id_product for line in response.context["lines"]] == ["second"]
    buyer, seller = response.context["traders"]
    assert buyer.history.months == seller.history.months
    assert (buyer.history.count, buyer.history.revenue) == (3, Decimal("107.04912"))
    assert [newest.id_product for newest in buyer.newest] == ["third", "second", "first"]
    assert buyer.history.last == datetime.datetime(2021, 3, 3, tzinfo=datetime.UTC)
    for url in (buyer.page_url, seller.page_url, buyer.sales_url, f"{LIST}?id_order__exact=o"):
        assert f'href="{html.escape(url)}"' in response.content.decode()
        assert admin_client.get(url).status_code == 200


def test_the_page_of_a_sale_is_shown_without_related_sales_that_timed_out(admin_client, monkeypatch):
    def fail(*arguments):
        raise StatementTimedOut

    monkeypatch.setattr("sales.backoffice.trader_pages.history", fail)
    sale = listed(admin_client, id_order__exact="1").result_list[0]
    shown = admin_client.get(f"{LIST}{sale.pk}/change/").content.decode()
    assert "10.10" in shown
    assert "related sales was stopped after 5 seconds" in shown
