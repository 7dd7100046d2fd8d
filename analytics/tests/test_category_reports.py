"""The reports on categories and brands, for hand-made sales."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from analytics.tests.helpers import (
    PERIOD,
    columns_of,
    record,
    rows_of,
    sale,
    sales_at_the_edges,
)
from countries.models import Country
from sales.totals import folding

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])


# top_brands


def test_brands_are_ranked_by_revenue_and_shares_are_of_all_sales():
    record(
        *(sale("30", brand="A"), sale("-5", brand="A"), sale("50", brand="B")),
        *(sale("0", brand="C"), sale("25"), sale("0.00", brand="A")),
    )
    assert rows_of("top_brands") == [
        {"brand": "B", "revenue": 50, "sales": 1, "average_sale": 50, "revenue_percent": 50},
        {
            "brand": "A",
            "revenue": 25,
            "sales": 3,
            "average_sale": Decimal("8.333333333333"),
            "revenue_percent": 25,
        },
        {"brand": "C", "revenue": 0, "sales": 1, "average_sale": 0, "revenue_percent": 0},
    ]


def test_brands_with_equal_revenue_are_sorted_by_code_point():
    record(*(sale("1", brand=brand) for brand in ("b", "É", "B", "a", "A")))
    assert columns_of(rows_of("top_brands"), "brand") == ["A", "B", "a", "b", "É"]


def test_the_number_of_brands_can_be_chosen():
    record(*(sale(str(100 - number), brand=f"{number:02}") for number in range(30)))
    assert len(rows_of("top_brands")) == 25
    assert columns_of(rows_of("top_brands", brands=2), "brand") == ["00", "01"]
    assert len(rows_of("top_brands", brands=None)) == 30


def test_brands_of_a_category_have_shares_of_its_revenue():
    record(sale("1", brand="A", category="bags"), sale("3", category="bags"), sale("5", brand="A", category="shoes"))
    (row,) = rows_of("top_brands", category="bags")
    assert (row["revenue"], row["sales"], row["revenue_percent"]) == (1, 1, 25)


def test_shares_of_brands_are_null_if_the_revenue_is_zero():
    record(sale("1", brand="A"), sale("-1", brand="B"))
    assert columns_of(rows_of("top_brands"), "brand", "revenue_percent") == [("A", None), ("B", None)]


# daily_category_revenue


def daily(**parameters):
    """Return category -> day -> (sales, revenue, average)."""
    days = {}
    for row in rows_of("daily_category_revenue", **parameters):
        figures = (row["sales"], row["revenue"], row["revenue_7_day_average"])
        days.setdefault(row["category"], {})[row["day"].isoformat()] = figures
    return days


def test_each_category_has_each_day_and_the_average_of_seven_days():
    record(
        sale("7", category="bags", paid="2021-02-01"),
        sale("14", category="bags", paid="2021-02-03"),
        sale("-7", category="bags", paid="2021-02-03"),
        sale("0.7", paid="2021-02-02"),
    )
    assert daily(start="2021-02-01", end="2021-02-03") == {
        "bags": {"2021-02-01": (1, 7, 1), "2021-02-02": (0, 0, 1), "2021-02-03": (2, 7, 2)},
        None: {
            "2021-02-01": (0, 0, 0),
            "2021-02-02": (1, Decimal("0.7"), Decimal("0.1")),
            "2021-02-03": (0, 0, Decimal("0.1")),
        },
    }


def test_rows_are_sorted_by_day_and_category_with_no_category_last():
    record(
        *(sale("1", category=category, paid="2021-02-01") for category in ("shoes", None, "bags")),
        sale("1", paid="2021-02-02"),
    )
    rows = columns_of(rows_of("daily_category_revenue", days=2), "day", "category")
    assert rows == [(date(2021, 2, day), category) for day in (1, 2) for category in ("bags", "shoes", None)]


def test_the_average_of_the_first_day_includes_the_six_days_before_it():
    record(
        sale("1000", category="bags", paid="2021-01-31T23:59:59.999999"),
        sale("70", category="bags", paid="2021-02-01T00:00:00"),
        sale("7", category="bags", paid="2021-02-07"),
    )
    days = daily(start="2021-02-07", end="2021-02-14")["bags"]
    assert [average for _, _, average in days.values()] == [11, 1, 1, 1, 1, 1, 1, 0]


def test_the_default_period_ends_with_the_newest_sale():
    record(sale("1", category="bags", paid="2020-01-01"), sale("1", category="shoes", paid="2021-02-01"))
    for parameters, first in (({}, date(2021, 1, 3)), ({"days": 1}, date(2021, 2, 1))):
        days = daily(**parameters)
        length = (date(2021, 2, 1) - first).days + 1
        assert days.keys() == {"bags", "shoes"}
        assert all(list(category) == [str(first + timedelta(n)) for n in range(length)] for category in days.values())


def test_a_period_can_have_only_one_end():
    record(sale("1", category="bags", paid="2021-02-10"))
    assert list(daily(start="2021-02-08")["bags"]) == ["2021-02-08", "2021-02-09", "2021-02-10"]
    assert list(daily(end="2021-02-11", days=2)["bags"]) == ["2021-02-10", "2021-02-11"]
    assert daily(start="2021-02-11") == {}


def test_daily_revenue_can_be_that_of_one_category():
    record(sale("1", category="bags"), sale("1", category="shoes"), sale("1"))
    assert daily(category="bags", days=1) == {"bags": {"2021-01-03": (1, 1, Decimal("0.142857142857"))}}
    assert daily(category="girls") == {}


def test_a_day_is_in_utc():
    record(*sales_at_the_edges(category="bags"))
    days = daily(**PERIOD)["bags"]
    assert [(sales, revenue) for sales, revenue, _ in days.values()] == [(1, 2), (1, 4)]


def test_folded_and_unfolded_sales_count_once():
    record(sale("1", category="bags"))
    folding.fold()
    record(sale("2", category="bags"))
    assert daily(days=1)["bags"]["2021-01-03"][:2] == (2, 3)


# category_mix_by_continent


def place_countries(**continents):
    Country.objects.bulk_create(
        Country(id_country=id_country.removeprefix("_"), country_name=id_country, continent=continent)
        for id_country, continent in continents.items()
    )


def test_each_category_has_its_share_of_its_continent():
    place_countries(_1="Europe", _2="Europe", _3="Asia", _4=None, _5="")
    record(
        *(sale("6", buyer="1", category="bags"), sale("3", buyer="2", category="bags"), sale("1", buyer="2")),
        *(sale("5", buyer="3", category="bags"), sale("-1", buyer="3", category="bags")),
        *(sale("1", buyer=country, category="boys") for country in ("4", "5", "999")),
    )
    columns = ("continent", "category", "revenue", "sales", "revenue_percent")
    assert columns_of(rows_of("category_mix_by_continent"), *columns) == [
        ("Europe", "bags", 9, 2, 90),
        ("Europe", None, 1, 1, 10),
        ("Asia", "bags", 4, 2, 100),
        ("unknown", "boys", 3, 3, 100),
    ]


def test_the_mix_can_be_that_of_sellers():
    place_countries(_1="Europe", _2="Asia")
    record(sale("1", buyer="1", seller="2"))
    assert columns_of(rows_of("category_mix_by_continent"), "continent") == ["Europe"]
    assert columns_of(rows_of("category_mix_by_continent", side="seller"), "continent") == ["Asia"]


def test_equal_continents_and_categories_are_sorted_by_name_with_no_category_last():
    place_countries(_1="Europe", _2="Asia")
    record(*(sale("0", buyer=buyer, category=category) for buyer in "12" for category in ("boys", None, "bags")))
    rows = columns_of(rows_of("category_mix_by_continent"), "continent", "category", "revenue_percent")
    assert rows == [
        (continent, category, None) for continent in ("Asia", "Europe") for category in ("bags", "boys", None)
    ]
