"""The pages of countries in the back office."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from model_bakery import baker

from countries.models import Country
from salesengine.tests.clients import rows_of, text_of

LIST = reverse("admin:countries_country_changelist")
ADD = reverse("admin:countries_country_add")


@pytest.fixture
def france(db):
    return baker.make(Country, id_country="170", country_name="France", continent="Europe")


@pytest.fixture
def brazil(db):
    return baker.make(Country, id_country="710", country_name="Brazil", continent="South America")


def page_of(country, name="change"):
    return reverse(f"admin:countries_country_{name}", args=[country.pk])


def listed(response):
    return set(response.context["cl"].queryset)


def test_the_list_shows_id_name_and_continent(admin_client, france):
    page = text_of(admin_client.get(LIST))
    [cells] = rows_of(page)
    assert {"France", "Europe"} <= set(cells)
    assert ">170</a>" in page


@pytest.mark.parametrize("words", ["170", "franc"])
def test_countries_are_found_by_id_and_by_name(admin_client, france, brazil, words):
    assert listed(admin_client.get(LIST, {"q": words})) == {france}


def test_countries_are_filtered_by_continent(admin_client, france, brazil):
    assert 'name="continent" value="South America"' in text_of(admin_client.get(LIST))
    assert listed(admin_client.get(LIST, {"continent": "South America"})) == {brazil}


def test_an_empty_continent_is_stored_as_null(admin_client):
    admin_client.post(ADD, {"id_country": "1", "country_name": "Atlantis", "continent": " "})
    assert Country.objects.get(pk="1").continent is None


def test_a_name_is_a_single_line_field(admin_client, france):
    page = text_of(admin_client.get(page_of(france)))
    assert '<input type="text" name="country_name" value="France"' in page
    assert "<textarea" not in page


def test_a_name_can_be_changed(admin_client, france):
    admin_client.post(page_of(france), {"country_name": "Gaul", "continent": "Europe"})
    assert list(Country.objects.values_list("id_country", "country_name")) == [("170", "Gaul")]


def test_an_id_cannot_be_changed(admin_client, france):
    assert 'name="id_country"' not in text_of(admin_client.get(page_of(france)))
    admin_client.post(page_of(france), {"id_country": "171", "country_name": "France", "continent": "Europe"})
    assert list(Country.objects.values_list("id_country", flat=True)) == ["170"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"id_country": "170", "country_name": "Gaul"}, "Country with this Id already exists."),
        ({"id_country": "7" * 65, "country_name": "Gaul"}, "Ensure this value has at most 64 characters"),
        ({"id_country": " ", "country_name": "Gaul"}, "This field is required."),
        ({"id_country": "1\0", "country_name": "Gaul"}, "Null characters are not allowed."),
        ({"id_country": "171", "country_name": " "}, "This field is required."),
    ],
)
def test_the_form_refuses_the_same_values_as_a_file(admin_client, france, values, message):
    assert message in text_of(admin_client.post(ADD, values))
    assert list(Country.objects.all()) == [france]


@pytest.mark.parametrize("country_id", ["1/2", "a_b?c", "é ü"])
def test_a_country_with_special_characters_in_its_id_has_a_page(admin_client, db, country_id):
    country = baker.make(Country, id_country=country_id, country_name="Somewhere")
    page = text_of(admin_client.get(LIST))
    url = re.search(r'field-id_country[^<]*<a href="([^"]+)"', page)[1]
    assert admin_client.get(url).context["original"] == country


def test_deleting_a_country_reads_no_sales(admin_client, france):
    with CaptureQueriesContext(connection) as queries:
        assert admin_client.get(page_of(france, "delete")).status_code == 200
        admin_client.post(page_of(france, "delete"), {"post": "yes"})
    assert not Country.objects.exists()
    assert not [query["sql"] for query in queries if '"sales"' in query["sql"]]


def test_deleting_several_countries_reads_no_sales(admin_client, france, brazil):
    selection = {"action": "delete_selected", "_selected_action": [france.pk, brazil.pk]}
    with CaptureQueriesContext(connection) as queries:
        assert admin_client.post(LIST, selection).status_code == 200
        admin_client.post(LIST, selection | {"post": "yes"})
    assert not Country.objects.exists()
    assert not [query["sql"] for query in queries if '"sales"' in query["sql"]]
