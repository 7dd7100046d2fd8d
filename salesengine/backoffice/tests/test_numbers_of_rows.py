"""Lists say how many rows they have, in words that agree with the number."""

import re

import pytest

from countries.models import Country
from sales.models import RejectedEvent
from salesengine.tests.clients import text_of

pytestmark = pytest.mark.django_db


def list_of(client, address):
    """Return the text of a list's page."""
    return " ".join(re.sub(r"<[^>]*>", " ", text_of(client.get(address))).split())


def reject(number):
    RejectedEvent.objects.bulk_create(
        RejectedEvent(content=b"{", sender="shop", source="s", position=1, reason="r", errors=[]) for _ in range(number)
    )


def test_one_row_is_singular(admin_client):
    reject(1)

    assert "1 rejected event " in list_of(admin_client, "/admin/sales/rejectedevent/")


def test_many_rows_have_thousands_separators_also_where_all_are_selected(admin_client):
    reject(1_234)

    page = list_of(admin_client, "/admin/sales/rejectedevent/")

    assert "- 1,234 rejected events" in page
    assert "All 1,234 selected" in page
    assert "Select all 1,234 rejected events" in page


def test_lists_that_count_all_rows_have_separators_too(admin_client):
    Country.objects.bulk_create(Country(pk=str(number), country_name="Land") for number in range(1_234))

    assert "- 1,234 countries" in list_of(admin_client, "/admin/countries/country/")
