"""The days that hold the newest or the oldest sales are found from the daily totals."""

import datetime

import pytest

from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.tests.helpers import sale_event
from sales.totals import folding
from sales.totals.periods import day_reached, nearest_days

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def sales():
    """Store two sales on each of four days, in two categories."""
    days = ["0001-01-01", "2021-01-05", "2021-01-06", "9999-12-31"]
    record_sales([sale_event(DATE_PAYMENT=day, CATEGORY=category) for day in days for category in ("bags", None)])
    folding.fold()


def day(text):
    return datetime.date.fromisoformat(text)


@pytest.mark.parametrize(
    ("number", "newest", "oldest"), [(1, "9999-12-31", "0001-01-01"), (3, "2021-01-06", "2021-01-05")]
)
def test_a_day_is_reached_when_the_days_up_to_it_have_enough_sales(number, newest, oldest):
    assert day_reached(number) == day(newest)
    assert day_reached(number, newest_first=False) == day(oldest)


def test_only_days_of_the_period_count():
    assert day_reached(2, stop=day("2021-01-06")) == day("2021-01-05")
    assert day_reached(4, start=day("2021-01-05"), stop=day("2021-01-07")) == day("2021-01-05")
    assert day_reached(5, start=day("2021-01-05"), stop=day("2021-01-07")) is None


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("number", [1, 2, 3, 6, 8])
def test_the_nearest_days_have_at_least_the_number_of_sales(number, newest_first):
    found = Sale.objects.filter(nearest_days(number, newest_first=newest_first))

    assert number <= found.count() <= number + 1
    assert nearest_days(9, newest_first=newest_first) is None
