"""What the list of sales says beside its rows: filters, numbers, pages, exports."""

import datetime
import html
import re
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission, User
from model_bakery import baker

from countries.models import Country
from sales.backoffice import sale_list as sales_list
from sales.backoffice import sale_search as finding
from sales.ingest.writer import record_sales
from sales.tests.helpers import sale_event
from salesengine.operations.statement_timeout import StatementTimedOut

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
def test_filters_leave_exactly_the_sales_that_match(admin_client, query, found):
    assert orders(admin_client, **query) == found


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"revenue_from": "1,5"}, "Revenue from is no number such as 57.25 or -3, so nothing is shown."),
        ({"revenue_to": "NaN"}, "Revenue to is no number such as 57.25 or -3, so nothing is shown."),
        ({"revenue_to": "1e5"}, "Revenue to is no number such as 57.25 or -3, so nothing is shown."),
        ({"category__exact": "Bags"}, "Category 'Bags' is none of the categories there are, so nothing is shown."),
        ({"brand__isnull": "maybe"}, "Without a brand is 'maybe', and can only be True, so nothing is shown."),
        ({"brand__exact": "\0"}, "Brand holds the character NUL, which nothing does, so nothing is shown."),
        ({"date_payment_from": "soon"}, "A filter is not a day such as 2021-01-31, so the list is empty."),
    ],
)
def test_a_filter_that_makes_no_sense_shows_nothing_and_says_why(admin_client, query, words):
    shown = page(admin_client, **query)
    assert words in shown
    assert "Nothing is shown." in shown
    assert orders(admin_client, **query) == []
    assert listed(admin_client, **query).exports == []


@pytest.mark.parametrize(
    "query",
    ["revenue__gte=1", "id__exact=1", "brand__contains=a", "brand__regex=(", "date_payment__year=0", "event_id=1"],
)
def test_what_is_no_filter_is_refused(admin_client, query):
    assert admin_client.get(f"{LIST}?{query}").status_code == 400


@pytest.mark.parametrize("value", ["-1", "0", "x", "1" * 400, "1000000000"])
def test_a_page_that_cannot_be_is_one_that_can(admin_client, value):
    assert 1 <= listed(admin_client, p=value).page_num <= sales_list.LAST_PAGE


def test_what_an_address_names_stays_chosen_in_the_form(admin_client):
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


def test_every_control_of_the_filters_has_a_label(admin_client):
    shown = page(admin_client)
    form = shown[shown.index('id="filter-form"') :]
    controls = re.findall(r"<(?:input|select)(?![^>]*hidden)[^>]*>", form[: form.index("</form>")])
    assert len(controls) == 16
    for control in controls:
        assert "aria-label" in control or f'for="{re.search(r"id=.([^ >]+).[ >]", control)[1]}"' in shown, control


def test_a_filter_can_be_taken_away(admin_client):
    first, second = listed(admin_client, category__isnull="True", revenue_from="1", totals="1", p="2").chosen
    assert (first.label, first.value, first.without) == ("Revenue from", "1", "?category__isnull=True")
    assert (second.label, second.value, second.without) == ("Without a category", "", "?revenue_from=1")


def test_brands_are_suggested_by_a_part_of_them(admin_client, client):
    def suggested(term):
        results = admin_client.get(f"{LIST}brands/", {"term": term}).json()["results"]
        return [each["id"] for each in results]

    assert suggested("ALB") == ["Alba", "Nord Alba", "ALB"]
    assert suggested("") == ["Alba", "Nord Alba"]
    assert suggested("100%") == ["100%"]
    assert suggested("\0") == ["Alba", "Nord Alba"]
    client.force_login(User.objects.create_user("clerk", is_staff=True))
    assert client.get(f"{LIST}brands/").status_code == 403


# Order


def test_sales_can_be_listed_from_the_oldest_on(admin_client):
    record_sales([sale_event(ID_ORDER="old", DATE_PAYMENT="2020-01-01")])
    assert [sale.id_order for sale in listed(admin_client, o="0").result_list] == ["old", "1", "2", "3"]
    assert [sale.id_order for sale in listed(admin_client, o="-0").result_list] == ["3", "2", "1", "old"]
    assert [sale.id_order for sale in listed(admin_client, o="6.2").result_list] == ["3", "2", "1", "old"]


# Numbers


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
def test_of_days_and_categories_the_totals_are_there_at_once(admin_client, query, totals):
    assert listed(admin_client, **query).totals == totals


def test_other_totals_are_added_up_on_demand(admin_client):
    query = {"seller_country__id_country__exact": "170"}
    assert listed(admin_client, **query).totals is None
    assert listed(admin_client, **query, totals="1").totals == (1, Decimal("10.10"))
    assert "revenue 10.10" in re.sub("<[^>]+>", "", page(admin_client, **query, totals="1"))


def test_totals_that_take_too_long_leave_the_page(admin_client, monkeypatch):
    def fail(sales):
        raise StatementTimedOut

    monkeypatch.setattr(sales_list, "add_up", fail)
    query = {"brand__exact": "Alba", "totals": "1"}
    assert "took longer than 5 seconds" in page(admin_client, **query)
    assert orders(admin_client, **query) == ["1"]


def test_a_page_that_takes_too_long_is_not_said_to_be_empty(admin_client, monkeypatch):
    def fail(*arguments, **options):
        raise StatementTimedOut

    monkeypatch.setattr(sales_list, "find_page", fail)
    shown = page(admin_client, brand__exact="Alba")
    assert "took longer than 5 seconds" in shown
    assert "Nothing is shown." in shown


def test_totals_by_country_are_those_of_all_filters(admin_client):
    def totals(**query):
        return listed(admin_client, **query, totals="1").totals

    assert totals(seller_continent="Asia") == (1, Decimal("0.00000000000000000001"))
    assert totals(seller_continent="Asia", seller_country__id_country__exact="170") == (0, 0)
    assert totals(seller_country__id_country__exact="9", buyer_continent="Europe") == (1, -5)
    assert totals(seller_country__id_country__exact="9", date_payment_to="2021-01-06") == (0, 0)


def test_an_estimate_is_said_to_be_one(admin_client, monkeypatch):
    monkeypatch.setattr(finding, "FEW", -1)
    record_sales([sale_event(BRAND="Alba")] * 60)
    shown = re.sub(r"<[^>]+>|\s+", " ", page(admin_client, brand__exact="Alba"))
    assert re.search(r"about \d+ sales \(PostgreSQL.s estimate\)", re.sub(" +", " ", shown))


def test_it_is_said_what_was_not_looked_through(admin_client, monkeypatch):
    monkeypatch.setattr(finding, "_plan", lambda found: finding.Plan(50_000, 1_000_000, has_index=False))
    monkeypatch.setattr(finding, "DEPTH", 1)
    monkeypatch.setattr(sales_list, "DEPTH", 1)
    shown = page(admin_client, brand__exact="Alba")
    assert "Only the newest 1 sales of these days were looked through, back to 2021-01-07 00:09:24" in shown
    assert "about 50,000" in shown
    assert orders(admin_client, brand__exact="Alba") == []
    assert orders(admin_client, brand__exact="Alba", thorough="1") == ["1"]


# Pages


def test_pages_lead_to_each_other(admin_client):
    record_sales([sale_event()] * 100)
    first, last = listed(admin_client, p="1"), listed(admin_client, p="3")
    assert (first.previous_address, first.next_address, first.last_page) == ("", "?p=2", 3)
    assert (last.previous_address, last.next_address) == ("?p=2", "")
    assert len(last.result_list) == 3


def test_new_filters_begin_at_the_first_page(admin_client):
    shown = page(admin_client, p="2", o="0", revenue_from="1")
    form = shown[shown.index('id="filter-form"') :]
    hidden = re.findall(r'<input type="hidden" name="([^"]+)"', form[: form.index("</form>")])
    assert hidden == ["o"]


# Exports


def test_the_export_is_asked_for_what_is_listed(admin_client):
    query = {"brand__exact": "a&b", "revenue_from": " 1.50 ", "category__isnull": "on", "q": " 7 ", "p": "3"}
    assert dict(listed(admin_client, **query).exports)["XLSX"] == (
        "/admin/analytics/report/sales.xlsx?run=1&minimum=1.50" + "&no_category=true&brand=a%26b&any_id=7"
    )


@pytest.mark.parametrize(("may_export", "number"), [(True, 2), (False, 0)])
def test_only_who_may_export_sees_the_buttons(client, may_export, number):
    user = User.objects.create_user("clerk", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_sale"))
    if may_export:
        user.user_permissions.add(Permission.objects.get(codename="export_report"))
    client.force_login(user)
    assert page(client).count("Export ") == number


# A sale


def test_the_page_of_a_sale_has_its_order_and_its_people(admin_client):
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
    buyer, seller = response.context["people"]
    assert buyer.history.months == seller.history.months
    assert (buyer.history.count, buyer.history.revenue) == (3, Decimal("107.04912"))
    assert [each.id_product for each in buyer.recent] == ["third", "second", "first"]
    assert buyer.history.last == datetime.datetime(2021, 3, 3, tzinfo=datetime.UTC)
    for address in (buyer.page_address, seller.page_address, buyer.list_address, f"{LIST}?id_order__exact=o"):
        assert f'href="{html.escape(address)}"' in response.content.decode()
        assert admin_client.get(address).status_code == 200


def test_a_page_of_a_sale_comes_without_what_takes_too_long(admin_client, monkeypatch):
    def fail(*arguments):
        raise StatementTimedOut

    monkeypatch.setattr("sales.backoffice.trader_pages.history", fail)
    sale = listed(admin_client, id_order__exact="1").result_list[0]
    shown = admin_client.get(f"{LIST}{sale.pk}/change/").content.decode()
    assert "10.10" in shown
    assert "took longer than 5 seconds" in shown
