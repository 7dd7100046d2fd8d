"""For random filters and searches, the list, its totals and its export agree with a selection in Python."""

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
from sales.backoffice import sale_search
from sales.categories import Category
from sales.demo import countries, generate_events
from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.tests.helpers import sale_event

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

LIST = "/admin/sales/sale/"
SALES = 1_000
SIZE = 50  # of a page
IS_NULL = "True"
IDS = ("ID_ORDER", "ID_PRODUCT", "ID_BUYER", "ID_SELLER")


@pytest.fixture
def market():
    """Store demo countries and sales; yield the events, each with the id of its sale."""
    events = list(generate_events(sales=SALES, seed=5))
    Country.objects.bulk_create(countries())
    record_sales(events)
    first = Sale.objects.earliest("id").pk
    yield [{**event, "ID": first + number} for number, event in enumerate(events)]
    connections["reports"].close()  # an open connection would keep the test database from being dropped


def conditions(rng, market):
    """Return every query parameter with a value, which may match nothing, and the same condition in Python."""
    continents = dict(Country.objects.values_list("id_country", "continent"))
    sample = rng.choice(market)
    day = sample["DATE_PAYMENT"].date()
    later = day + datetime.timedelta(days=rng.randrange(60))
    low, high = sorted((sample["REVENUE"], rng.choice(market)["REVENUE"]))
    category = sample["CATEGORY"] or rng.choice(Category.values)
    brand = rng.choice([sample["BRAND"] or "x", "Dsquared2", "nobody's"])
    seller = rng.choice([sample["ID_SELLER_COUNTRY"], "170", "905", "nowhere"])
    buyer = rng.choice([sample["ID_BUYER_COUNTRY"], "187"])
    from_continent, to_continent = (rng.choice(["Europe", "Asia", "Africa", "Atlantis"]) for _ in range(2))
    search = str(sample[rng.choice([*IDS, "ID"])])

    def lies_in(side, continent):
        return lambda event: continents.get(event[f"ID_{side}_COUNTRY"]) == continent

    def has_same(name):
        return lambda event: event[name] == sample[name]

    return {
        "date_payment_from": (day, lambda event: event["DATE_PAYMENT"].date() >= day),
        "date_payment_to": (later, lambda event: event["DATE_PAYMENT"].date() <= later),
        "revenue_from": (f"{low:f}", lambda event: event["REVENUE"] >= low),
        "revenue_to": (f" {high:f} ", lambda event: event["REVENUE"] <= high),
        "category__exact": (category, lambda event: event["CATEGORY"] == category),
        "category__isnull": (IS_NULL, lambda event: event["CATEGORY"] is None),
        "brand__exact": (brand, lambda event: event["BRAND"] == brand),
        "brand__isnull": (IS_NULL, lambda event: event["BRAND"] is None),
        "seller_country__id_country__exact": (seller, lambda event: event["ID_SELLER_COUNTRY"] == seller),
        "buyer_country__id_country__exact": (buyer, lambda event: event["ID_BUYER_COUNTRY"] == buyer),
        "seller_continent": (from_continent, lies_in("SELLER", from_continent)),
        "buyer_continent": (to_continent, lies_in("BUYER", to_continent)),
        **{f"{name.lower()}__exact": (sample[name], has_same(name)) for name in IDS},
        "q": (f"  {search} ", lambda event: search in [str(event[name]) for name in (*IDS, "ID")]),
    }


def draw(rng, market):
    """Return a random query and the events that it selects, in the order of the list."""
    known = conditions(rng, market)
    names = rng.sample(list(known), k=rng.choice([0, 1, 1, 1, 2, 2, 3, 4]))
    query = {name: known[name][0] for name in names}
    found = [event for event in market if all(known[name][1](event) for name in names)]
    return query, sorted(found, key=lambda event: (event["DATE_PAYMENT"], event["ID"]), reverse=True)


def change_list(user, query):
    """Return the change list without rendering the page, which would take most of the time."""
    request = RequestFactory().get(LIST, query)
    request.user = user
    return site.get_model_admin(Sale).changelist_view(request).context_data["cl"]


def check_list(user, rng, query, expected):
    """Check a random page, in either order, and the totals. Return the URLs of the exports."""
    oldest_first = rng.random() < 0.25
    page = rng.randint(1, len(expected) // SIZE + 1)
    order = {"o": "0"} if oldest_first else {}
    cl = change_list(user, {**query, **order, "p": page, "totals": "1"})
    events = expected[::-1] if oldest_first else expected
    assert [sale.pk for sale in cl.result_list] == [event["ID"] for event in events[(page - 1) * SIZE : page * SIZE]]
    assert cl.totals == (len(expected), sum((event["REVENUE"] for event in expected), Decimal(0)))
    assert bool(cl.next_url) == (len(expected) > page * SIZE)
    return dict(cl.exports)


def check_export(client, url, expected):
    response = client.get(url)
    assert response.status_code == 200, response.content
    rows = csv.DictReader(response.getvalue().decode("utf-8-sig").splitlines())
    found = [(int(row["id"]), Decimal(row["revenue"]), row["id_order"]) for row in rows]
    assert found == [(event["ID"], event["REVENUE"], event["ID_ORDER"]) for event in expected]


@pytest.mark.parametrize("way", ["fetch and sort", "scan"])
@pytest.mark.parametrize(("seed", "number"), [(1, 25), pytest.param(2, 100, marks=pytest.mark.slow, id="many")])
def test_list_totals_and_export_agree_with_python(admin_user, admin_client, market, monkeypatch, way, seed, number):
    monkeypatch.setattr(sale_search, "MATCH_LIMIT", SALES if way == "fetch and sort" else -1)
    rng = Random(f"{seed} {way}")
    for _ in range(number):
        query, expected = draw(rng, market)
        try:
            exports = check_list(admin_user, rng, query, expected)
            check_export(admin_client, exports["CSV"], expected)
        except AssertionError as error:
            raise AssertionError(f"for {query}") from error


def test_an_export_escapes_formulas_and_is_logged(admin_client):
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
