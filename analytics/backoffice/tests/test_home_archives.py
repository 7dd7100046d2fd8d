"""The home page says which sales are archived, because its figures count them and its latest sales do not show them."""

import pytest

from analytics.backoffice.tests.home_pages import block_of, cards, page_of
from analytics.tests.helpers import record, sale
from sales.archiving.tests.helpers import archive, make_only

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])
NOTE = "Sales paid in 2021-01 are archived. Figures count them, but this list does not show them."


@pytest.fixture(autouse=True)
def archived(tmp_path, viewer):
    make_only("2021-01-01", "2021-02-01")
    record(sale("5", paid="2021-01-07"), *(sale("7", paid="2021-02-07") for _ in range(10)))
    archive(tmp_path, "2021-02")


def test_a_day_whose_sales_are_archived_does_not_say_that_none_was_paid(viewer):
    page = page_of(viewer, "2021-01-07")

    assert cards(page)["2021-01-07"][1][0] == "1"
    assert NOTE in block_of(page, "Latest sales")
    assert "No sale was paid" not in page


def test_latest_sales_that_are_newer_than_the_archives_do_not_mention_them(viewer):
    assert "archived" not in block_of(page_of(viewer, "2021-02-28"), "Latest sales")


def test_a_day_before_the_archived_months_does_not_mention_them(viewer):
    latest = block_of(page_of(viewer, "2020-12-31"), "Latest sales")

    assert "No sale was paid by the end of 2020-12-31." in latest
    assert "archived" not in latest
