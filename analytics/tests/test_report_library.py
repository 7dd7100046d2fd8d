"""Rules that all reports share, and the reports on countries and single sales."""

from decimal import Decimal

import pytest

from analytics.definitions.reports import get_report
from analytics.running.runner import run
from analytics.tests.helpers import (
    PERIOD,
    columns_of,
    name_countries,
    parse_time,
    record,
    rows_of,
    sale,
    sales_at_the_edges,
)

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

THE_LIBRARY = (
    *("average_sale_by_buyer_country", "buyer_cohorts", "category_mix_by_continent", "daily_category_revenue"),
    *("largest_buyers", "largest_sellers", "new_and_returning_buyers", "top_brands", "unknown_country_sales"),
)


@pytest.mark.parametrize("name", [*THE_LIBRARY, "sales"])
def test_a_report_without_sales_is_empty(name):
    name_countries(_170="France")
    assert rows_of(name) == []


@pytest.mark.parametrize(
    ("revenue", "total"),
    [
        ("12.34567890123456789012", "12.34567890123456789013"),
        ("999999999999999.99999999999999999999", "1000000000000000"),
    ],
)
@pytest.mark.parametrize("name", THE_LIBRARY)
def test_no_digit_of_the_revenue_is_lost(name, revenue, total):
    record(sale(revenue, brand="A", category="bags"), sale("0.00000000000000000001", brand="A", category="bags"))
    row = rows_of(name)[-1]
    sums = [row[column] for column in ("revenue", "new_revenue", "buyer_revenue") if column in row]
    assert sums == ([] if name == "buyer_cohorts" else [Decimal(total)])


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("average_sale_by_buyer_country", "revenue"),
        ("category_mix_by_continent", "revenue"),
        ("largest_buyers", "revenue"),
        ("largest_sellers", "revenue"),
        ("top_brands", "revenue"),
        ("unknown_country_sales", "seller_revenue"),
    ],
)
def test_a_period_includes_both_whole_days_in_utc(name, column):
    record(*sales_at_the_edges(brand="A"))
    assert columns_of(rows_of(name, **PERIOD), column) == [6]
    assert columns_of(rows_of(name, start="2021-02-02"), column) == [14]
    assert columns_of(rows_of(name, end="2021-02-03"), column) == [7]
    assert columns_of(rows_of(name), column) == [15]
    assert rows_of(name, start="2021-02-05") == []


# average_sale_by_buyer_country


def test_refunds_do_not_count_toward_the_average():
    name_countries(_1="One", _2="Two")
    record(
        *(sale("1", buyer="1"), sale("0", buyer="1"), sale("1", buyer="1"), sale("-1", buyer="1")),
        *(sale("5", buyer="2"), sale("-2", buyer="3")),
    )
    columns = ("id_country", "country_name", "average_sale", "sales", "refunds", "revenue")
    assert columns_of(rows_of("average_sale_by_buyer_country", minimum_sales=0), *columns) == [
        ("2", "Two", 5, 1, 0, 5),
        ("1", "One", Decimal("0.666666666667"), 3, 1, 1),
        ("3", "3", None, 0, 1, -2),
    ]


def test_countries_with_few_sales_can_be_left_out():
    record(*(sale("1", buyer="2") for _ in range(2)), sale("1", buyer="1"), sale("-1", buyer="3"))
    assert columns_of(rows_of("average_sale_by_buyer_country"), "id_country") == ["1", "2"]
    assert columns_of(rows_of("average_sale_by_buyer_country", minimum_sales=2), "id_country") == ["2"]


def test_the_average_can_be_that_of_one_category():
    record(sale("1", category="bags"), sale("5", category="boys"), sale("9"))
    assert columns_of(rows_of("average_sale_by_buyer_country", category="bags"), "average_sale") == [1]


# unknown_country_sales


def test_sales_of_unknown_countries_count_on_both_sides():
    name_countries(_170="France", _1="One")
    record(
        sale("1", seller="905", buyer="170", paid="2021-02-02"),
        sale("2", seller="905", buyer="905", paid="2021-02-01"),
        sale("-4", seller="1", buyer="905", paid="2021-02-03"),
        sale("8", seller="1", buyer="170"),
        sale("16", seller="999", buyer="1", paid="2021-02-04"),
    )
    assert rows_of("unknown_country_sales") == [
        {
            "id_country": "905",
            "seller_sales": 2,
            "seller_revenue": 3,
            "buyer_sales": 2,
            "buyer_revenue": -2,
            "first_payment": parse_time("2021-02-01"),
            "last_payment": parse_time("2021-02-03"),
        },
        {
            "id_country": "999",
            "seller_sales": 1,
            "seller_revenue": 16,
            "buyer_sales": 0,
            "buyer_revenue": 0,
            "first_payment": parse_time("2021-02-04"),
            "last_payment": parse_time("2021-02-04"),
        },
    ]


def test_unknown_countries_with_equal_sales_are_sorted_by_id():
    record(*(sale("1", seller=country, buyer=country) for country in ("9", "10", "1")))
    assert columns_of(rows_of("unknown_country_sales"), "id_country") == ["1", "10", "9"]


def test_an_unknown_country_is_a_warning():
    name_countries(_170="France")
    record(sale("1"))
    assert not failed_assertions("unknown_country_sales")
    record(sale("1", seller="905"))
    assert failed_assertions("unknown_country_sales") == ["Some sales have a country without a name."]


def failed_assertions(name):
    report = get_report(name)
    with run(report, report.parse({})) as result:
        return [assertion.failure_message for assertion in result.failed_assertions]


# sales


def orders(**parameters):
    return columns_of(rows_of("sales", **parameters), "revenue")


def test_sales_are_listed_newest_first_with_all_digits():
    digits = "999999999999999.99999999999999999999"
    record(sale("1.50", paid="2021-02-01"), sale(digits, paid="2021-02-03"), sale("-2", paid="2021-02-02"))
    assert [str(revenue) for revenue in orders()] == [digits, "-2", "1.50"]
    assert [str(revenue) for revenue in orders(minimum=digits)] == [digits]
    assert orders(minimum="-2", maximum="1.4") == [-2]


def test_a_period_of_listed_sales_includes_both_whole_days_in_utc():
    record(*sales_at_the_edges())
    assert orders(**PERIOD) == [4, 2]


def test_listed_sales_meet_all_conditions():
    name_countries(_1="One")
    record(
        sale("1", brand="A", category="bags"), sale("2", brand="A"), sale("3", category="bags"), sale("4", seller="1")
    )
    assert orders(brand="A", category="bags") == [1]
    assert orders(brand="A", no_category="true") == [2]
    assert orders(brand="A", no_brand="true") == []
    assert orders(no_brand="true", no_category="true") == [4]
    assert orders(no_brand="false", no_category="false") == [1]
    assert orders(no_brand="false", seller_country="1") == []
    assert orders(seller_continent="Europe") == []


def test_a_listed_sale_of_an_unknown_country_has_its_id():
    name_countries(_1="One")
    record(sale("1", seller="1", buyer="2"))
    (row,) = rows_of("sales")
    assert (row["seller_country_name"], row["buyer_country_name"]) == ("One", "2")
