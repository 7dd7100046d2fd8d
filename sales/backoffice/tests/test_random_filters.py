"""Random filters and searches: the list, its totals and its export against the same sales picked out in Python."""

import csv
import datetime
from decimal import Decimal
from random import Random

import pytest
from django.apps import apps
from django.contrib.admin import site
from django.db import connections
from django.test import RequestFactory

from countries.models import Country
from sales.backoffice import sale_search as finding
from sales.demo import countries, generate_events
from sales.ingest.writer import record_sales
from sales.models import Category, Sale
from sales.tests.helpers import sale_event

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

LIST = "/admin/sales/sale/"
SALES = 3_000
SIZE = 50  # of a page
NO = "True"
IDS = ("ID_ORDER", "ID_PRODUCT", "ID_BUYER", "ID_SELLER")


@pytest.fixture
def market():
    """The events, each with the id of its sale, and where the countries lie."""
    events = list(generate_events(sales=SALES, seed=5))
    Country.objects.bulk_create(countries())
    record_sales(events)
    first = Sale.objects.earliest("id").pk
    yield [{**event, "ID": first + number} for number, event in enumerate(events)]
    connections["reports"].close()  # nothing is left that would keep the test database from being dropped


def conditions(chance, market):
    """Every parameter there is, each with a value that is somewhere in the data, or nowhere, and its test in Python."""
    continents = dict(Country.objects.values_list("id_country", "continent"))
    some = chance.choice(market)
    day = some["DATE_PAYMENT"].date()
    later = day + datetime.timedelta(days=chance.randrange(60))
    low, high = sorted((some["REVENUE"], chance.choice(market)["REVENUE"]))
    category = some["CATEGORY"] or chance.choice(Category.values)
    brand = chance.choice([some["BRAND"] or "x", "Dsquared2", "nobody's"])
    seller = chance.choice([some["ID_SELLER_COUNTRY"], "170", "905", "nowhere"])
    buyer = chance.choice([some["ID_BUYER_COUNTRY"], "187"])
    from_continent, to_continent = (chance.choice(["Europe", "Asia", "Africa", "Atlantis"]) for _ in range(2))
    search = some[chance.choice(IDS)]

    def lies_in(side, continent):
        return lambda event: continents.get(event[f"ID_{side}_COUNTRY"]) == continent

    return {
        "date_payment_from": (day, lambda event: event["DATE_PAYMENT"].date() >= day),
        "date_payment_to": (later, lambda event: event["DATE_PAYMENT"].date() <= later),
        "revenue_from": (f"{low:f}", lambda event: event["REVENUE"] >= low),
        "revenue_to": (f" {high:f} ", lambda event: event["REVENUE"] <= high),
        "category__exact": (category, lambda event: event["CATEGORY"] == category),
        "category__isnull": (NO, lambda event: event["CATEGORY"] is None),
        "brand__exact": (brand, lambda event: event["BRAND"] == brand),
        "brand__isnull": (NO, lambda event: event["BRAND"] is None),
        "seller_country__id_country__exact": (seller, lambda event: event["ID_SELLER_COUNTRY"] == seller),
        "buyer_country__id_country__exact": (buyer, lambda event: event["ID_BUYER_COUNTRY"] == buyer),
        "seller_continent": (from_continent, lies_in("SELLER", from_continent)),
        "buyer_continent": (to_continent, lies_in("BUYER", to_continent)),
        **{f"{name.lower()}__exact": (some[name], lambda event, name=name: event[name] == some[name]) for name in IDS},
        "q": (f"  {search} ", lambda event: search in [event[name] for name in IDS]),
    }


def draw(chance, market):
    """The query of an address, and the events it is about in the order of the list."""
    known = conditions(chance, market)
    names = chance.sample(list(known), k=chance.choice([0, 1, 1, 1, 2, 2, 3, 4]))
    query = {name: known[name][0] for name in names}
    found = [event for event in market if all(known[name][1](event) for name in names)]
    return query, sorted(found, key=lambda event: (event["DATE_PAYMENT"], event["ID"]), reverse=True)


def list_of(user, query):
    """What the page shows; how it does is for other tests, and would take most of the time here."""
    request = RequestFactory().get(LIST, query)
    request.user = user
    return site.get_model_admin(Sale).changelist_view(request).context_data["cl"]


def check_list(user, chance, query, expected):
    """One of the pages, in either order, and the totals; gives the addresses of the exports."""
    oldest_first = chance.random() < 0.25
    page = chance.randint(1, len(expected) // SIZE + 1)
    order = {"o": "0"} if oldest_first else {}
    shown = list_of(user, {**query, **order, "p": page, "totals": "1"})
    events = expected[::-1] if oldest_first else expected
    assert [sale.pk for sale in shown.result_list] == [event["ID"] for event in events[(page - 1) * SIZE : page * SIZE]]
    assert shown.totals == (len(expected), sum((event["REVENUE"] for event in expected), Decimal(0)))
    assert bool(shown.next_address) == (len(expected) > page * SIZE)
    return dict(shown.exports)


def check_export(client, address, expected):
    response = client.get(address)
    assert response.status_code == 200, response.content
    rows = csv.DictReader(response.getvalue().decode("utf-8-sig").splitlines())
    found = [(int(row["id"]), Decimal(row["revenue"]), row["id_order"]) for row in rows]
    assert found == [(event["ID"], event["REVENUE"], event["ID_ORDER"]) for event in expected]


@pytest.mark.parametrize("way", ["by index", "walking"])
@pytest.mark.parametrize(("seed", "number"), [(1, 25), pytest.param(2, 475, marks=pytest.mark.slow, id="many")])
def test_list_totals_and_export_agree_with_python(admin_user, admin_client, market, monkeypatch, way, seed, number):
    monkeypatch.setattr(finding, "FEW", SALES if way == "by index" else -1)
    chance = Random(f"{seed} {way}")
    for _ in range(number):
        query, expected = draw(chance, market)
        try:
            exports = check_list(admin_user, chance, query, expected)
            check_export(admin_client, exports["CSV"], expected)
        except AssertionError as error:
            raise AssertionError(f"for {query}") from error


def test_the_export_runs_no_formula_and_is_logged(admin_client):
    record_sales([sale_event(BRAND="=1+1", CATEGORY=None)])
    exports = dict(admin_client.get(LIST, {"brand__exact": "=1+1"}).context["cl"].exports)
    assert "'=1+1" in admin_client.get(exports["CSV"]).getvalue().decode()
    assert admin_client.get(exports["XLSX"]).getvalue().startswith(b"PK")
    runs = apps.get_model("analytics", "ReportRun").objects.order_by("pk")
    assert [(run.report, run.format, run.parameters["brand"]) for run in runs] == [
        ("sales", "csv", "=1+1"),
        ("sales", "xlsx", "=1+1"),
    ]
    connections["reports"].close()
