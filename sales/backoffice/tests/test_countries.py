"""The list of countries has what each sold and bought, and the country ids without a name."""

import random
import re
from collections import Counter
from decimal import Decimal
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from model_bakery import baker

from countries.models import Country
from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.tests.helpers import sale_event
from sales.totals import folding
from sales.totals.country_totals import UNNAMED_LIMIT, figures_by_country
from salesengine.tests.clients import staff_client

LIST = reverse("admin:countries_country_changelist")
ADD = reverse("admin:countries_country_add")
DELETE = reverse("admin:countries_country_delete", args=["170"])

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def countries():
    baker.make(Country, id_country="170", country_name="France", continent="Europe")
    baker.make(Country, id_country="203", country_name="Spain", continent="Europe")
    baker.make(Country, id_country="710", country_name="Brazil", continent="South America")


def sell(seller, buyer, *revenues):
    events = [sale_event(ID_SELLER_COUNTRY=seller, ID_BUYER_COUNTRY=buyer, REVENUE=revenue) for revenue in revenues]
    record_sales(events)


def rows(page):
    """Return the rows of the list, each as {column: text}."""
    table = page.content.decode().partition('id="result_list"')[2]
    cell = re.compile(r'<t[dh][^>]*class="[^"]*field-(\w+)[^"]*"[^>]*>(.*?)</t[dh]>', re.DOTALL)
    texts = [
        {name: unescape(re.sub(r"<[^>]+>", "", text)).strip() for name, text in cell.findall(row)}
        for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)
    ]
    return [row for row in texts if row]


def figures(page):
    columns = ("sold_count", "sold_revenue", "bought_count", "bought_revenue")
    return {row["country_name"]: [row[column] for column in columns] for row in rows(page)}


def names(page):
    return [country.country_name for country in page.context["cl"].result_list]


def unnamed(page):
    """Return the rows of the box above the list, each as a list of texts."""
    box = page.content.decode().partition('<section class="unnamed-countries"')[2].partition("</section>")[0]
    return [
        [unescape(re.sub(r"<[^>]+>", "", cell)) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
        for row in re.findall(r"<tr>(.*?)</tr>", box.partition("<tbody>")[2], re.DOTALL)
    ]


@pytest.mark.parametrize("is_folded", [False, True])
def test_each_country_has_what_it_sold_and_what_it_bought(admin_client, is_folded):
    sell("170", "203", "1000.10", "2000.006")
    sell("203", "203", "-5")
    if is_folded:
        folding.fold()
    sell("203", "170", "0.1")
    assert figures(admin_client.get(LIST)) == {
        "Brazil": ["0", "0.00", "0", "0.00"],
        "France": ["2", "3,000.11", "1", "0.10"],
        "Spain": ["2", "-4.90", "3", "2,995.11"],
    }


def test_the_title_has_the_exact_revenue(admin_client):
    sell("170", "203", "999999999999999.00000000000000000001", "0.1")
    assert 'title="999,999,999,999,999.10000000000000000001"' in admin_client.get(LIST).content.decode()


def test_figures_agree_with_the_sales_themselves():
    rng = random.Random(5)
    ids = ["170", "203", "710", "905", "x"]
    record_sales(
        [
            sale_event(
                ID_SELLER_COUNTRY=rng.choice(ids),
                ID_BUYER_COUNTRY=rng.choice(ids),
                REVENUE=Decimal(rng.randrange(-(10**6), 10**6)).scaleb(-rng.randrange(6)),
                DATE_PAYMENT=f"2021-01-{rng.randrange(1, 9):02}",
            )
            for _ in range(300)
        ]
    )
    sold, bought, sold_revenue, bought_revenue = Counter(), Counter(), Counter(), Counter()
    for seller, buyer, revenue in Sale.objects.values_list("seller_country_id", "buyer_country_id", "revenue"):
        sold[seller] += 1
        bought[buyer] += 1
        sold_revenue[seller] += revenue
        bought_revenue[buyer] += revenue
    found = figures_by_country()
    assert found.named | found.unnamed == {
        pk: (sold[pk], sold_revenue[pk], bought[pk], bought_revenue[pk]) for pk in ids
    }


@pytest.mark.parametrize("column", ["sold_count", "bought_count"])
def test_a_number_of_sales_links_to_these_sales(admin_client, column):
    sell("170", "203", "1", "2")
    sell("203", "170", "3")
    page = admin_client.get(LIST).content.decode()
    links = re.findall(rf'field-{column}[^>]*>\s*<a href="([^"]+)">([^<]+)<', page)
    assert len(links) == 2
    for url, number in links:
        assert len(admin_client.get(unescape(url)).context["cl"].result_list) == int(number)


@pytest.mark.parametrize("column", ["sold_count", "sold_revenue", "bought_count", "bought_revenue"])
@pytest.mark.parametrize("sign", ["", "-"])
def test_the_list_can_be_sorted_by_each_figure(admin_client, column, sign):
    sell("170", "170", "100")
    sell("170", "203", "-9")
    sell("203", "203", "-5", "-6", "1000")
    position = admin_client.get(LIST).context["cl"].list_display.index(column)
    texts = [row[column] for row in rows(admin_client.get(LIST, {"o": f"{sign}{position}"}))]
    numbers = [Decimal(text.replace(",", "")) for text in texts]
    assert len(numbers) == 3
    assert numbers == sorted(numbers, reverse=sign == "-")


def test_a_filtered_list_has_the_same_figures(admin_client):
    sell("170", "710", "1")
    assert figures(admin_client.get(LIST, {"q": "braz"})) == {"Brazil": ["0", "0.00", "1", "1.00"]}
    assert set(figures(admin_client.get(LIST, {"continent": "Europe"}))) == {"France", "Spain"}


# Ids without a name


def test_ids_without_a_name_are_listed_with_their_figures_and_the_highest_revenue_first(admin_client):
    sell("905", "170", "1.5", "2")
    sell("170", "x", "70")
    page = admin_client.get(LIST)
    assert unnamed(page) == [
        ["x", "Add name", "0", "0.00", "1", "70.00"],
        ["905", "Add name", "2", "3.50", "0", "0.00"],
    ]
    assert "2 country ids without a name" in page.content.decode()


@pytest.mark.parametrize("country_id", ["905", "é ü", "a&b=c?d/e#f", '"><script>'])
def test_an_id_links_to_the_form_that_names_it(admin_client, country_id):
    sell(country_id, "170", "1")
    url = unescape(re.search(r'href="([^"]+)"[^>]*>Add name<', admin_client.get(LIST).content.decode())[1])
    form = admin_client.get(url).context["adminform"].form
    assert form["id_country"].value() == country_id
    admin_client.post(url, {"id_country": country_id, "country_name": "Ruritania"})
    page = admin_client.get(LIST)
    assert figures(page)["Ruritania"] == ["1", "1.00", "0", "0.00"]
    assert unnamed(page) == []


def test_an_id_with_spaces_around_it_has_no_link_to_that_form(admin_client):
    sell(" 905", "170", "1")
    assert unnamed(admin_client.get(LIST)) == [[" 905", "Spaces around the id", "1", "1.00", "0", "0.00"]]


def test_thousands_of_ids_without_a_name_are_counted_and_only_the_largest_listed(admin_client):
    record_sales([sale_event(ID_SELLER_COUNTRY=f"rubbish {n}", REVENUE=n) for n in range(3_000)])
    with CaptureQueriesContext(connection) as queries:
        page = admin_client.get(LIST)
    assert "3,000 country ids without a name" in page.content.decode()
    assert [row[0] for row in unnamed(page)] == [f"rubbish {n}" for n in range(2_999, 2_999 - UNNAMED_LIMIT, -1)]
    assert f"the {UNNAMED_LIMIT} with the most revenue" in page.content.decode()
    assert len(queries) <= 12


def test_without_such_ids_there_is_no_box(admin_client):
    sell("170", "203", "1")
    assert "without a name" not in admin_client.get(LIST).content.decode()


# Permissions


def test_users_who_may_not_view_sales_see_no_figures():
    sell("170", "905", "12345")
    with CaptureQueriesContext(connection) as queries:
        page = staff_client("countries.view_country", "countries.add_country").get(LIST)
    assert list(rows(page)[0]) == ["id_country", "country_name", "continent"]
    assert not unnamed(page)
    assert "12,345" not in page.content.decode()
    assert not [query["sql"] for query in queries if "country_figures" in query["sql"]]


@pytest.mark.parametrize(("permissions", "is_offered"), [((), False), (("countries.add_country",), True)])
def test_only_users_who_may_add_countries_can_name_ids(permissions, is_offered):
    sell("905", "170", "1")
    page = staff_client("countries.view_country", "sales.view_sale", *permissions).get(LIST)
    assert unnamed(page)[0][0] == "905"
    assert (ADD in page.content.decode()) is is_offered


# Other pages


def test_a_deletion_says_how_many_sales_lose_the_name_of_their_country(admin_client):
    sell("170", "203", "1", "2")
    folding.fold()
    sell("203", "170", "3")
    sell("170", "170", "4")
    sell("203", "203", "5")
    one = admin_client.get(DELETE).content.decode()
    selection = {"action": "delete_selected", "_selected_action": ["170", "203"]}
    both = admin_client.post(LIST, selection).content.decode()
    assert "4 sales will show the id of the country instead of its name, and no continent." in one
    assert "5 sales will show the id of the country instead of its name, and no continent." in both


def test_a_deletion_without_sales_or_without_the_permission_to_see_them_has_no_number(admin_client):
    deleter = staff_client("countries.view_country", "countries.delete_country")
    assert "instead of its name" not in admin_client.get(DELETE).content.decode()
    sell("170", "203", "1")
    assert "instead of its name" not in deleter.get(DELETE).content.decode()


def test_the_autocomplete_of_countries_reads_no_sales(admin_client):
    query = {"term": "fra", "app_label": "sales", "model_name": "sale", "field_name": "seller_country"}
    with CaptureQueriesContext(connection) as queries:
        suggestions = admin_client.get(reverse("admin:autocomplete"), query).json()
    assert suggestions["results"] == [{"id": "170", "text": "France"}]
    assert not [query["sql"] for query in queries if "country_figures" in query["sql"]]


def test_the_pages_of_one_country_read_no_sales(admin_client):
    with CaptureQueriesContext(connection) as queries:
        for name in ("change", "history"):
            assert admin_client.get(reverse(f"admin:countries_country_{name}", args=["170"])).status_code == 200
    statements = [query["sql"].replace("sales_sale", "") for query in queries]
    assert not [statement for statement in statements if "sales" in statement or "country_figures" in statement]
