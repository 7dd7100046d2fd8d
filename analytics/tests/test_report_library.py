"""What the other reports say of hand-made sales, at their edges."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from analytics.definitions.reports import get_report
from analytics.running.runner import run
from analytics.tests.helpers import columns_of, parse_time, name_countries, record, rows_of, sale
from countries.models import Country
from sales.totals import feedback

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

THE_LIBRARY = (
    *("average_sale_by_buyer_country", "buyer_cohorts", "category_mix_by_continent", "daily_category_revenue"),
    *("largest_buyers", "largest_sellers", "new_and_returning_buyers", "top_brands", "unknown_country_sales"),
)
# Sales of which those of the second and the third are in a period from 2021-02-02 to 2021-02-03, since days are UTC.
EDGES = {
    "1": "2021-02-01T23:59:59.999999",
    "2": "2021-02-02T00:00:00",
    "4": "2021-02-04T00:30:00+01:00",
    "8": "2021-02-04T00:00:00",
}
PERIOD = {"start": "2021-02-02", "end": "2021-02-03"}


def sales_at_the_edges(**fields):
    return [sale(revenue, paid=paid, **fields) for revenue, paid in EDGES.items()]


@pytest.mark.parametrize("name", [*THE_LIBRARY, "sales"])
def test_without_sales_a_report_is_empty(name):
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
def test_both_days_of_a_period_count_whole_and_in_utc(name, column):
    record(*sales_at_the_edges(brand="A"))
    assert columns_of(rows_of(name, **PERIOD), column) == [6]
    assert columns_of(rows_of(name, start="2021-02-02"), column) == [14]
    assert columns_of(rows_of(name, end="2021-02-03"), column) == [7]
    assert columns_of(rows_of(name), column) == [15]
    assert rows_of(name, start="2021-02-05") == []


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


def test_of_equal_brands_the_first_by_name_comes_first_whatever_the_language():
    record(*(sale("1", brand=brand) for brand in ("b", "É", "B", "a", "A")))
    assert columns_of(rows_of("top_brands"), "brand") == ["A", "B", "a", "b", "É"]


def test_as_many_brands_are_listed_as_asked_for():
    record(*(sale(str(100 - number), brand=f"{number:02}") for number in range(30)))
    assert len(rows_of("top_brands")) == 25
    assert columns_of(rows_of("top_brands", brands=2), "brand") == ["00", "01"]
    assert len(rows_of("top_brands", brands=None)) == 30


def test_brands_of_one_category_share_its_revenue():
    record(sale("1", brand="A", category="bags"), sale("3", category="bags"), sale("5", brand="A", category="shoes"))
    (row,) = rows_of("top_brands", category="bags")
    assert (row["revenue"], row["sales"], row["revenue_percent"]) == (1, 1, 25)


def test_brands_have_no_share_of_no_revenue():
    record(sale("1", brand="A"), sale("-1", brand="B"))
    assert columns_of(rows_of("top_brands"), "brand", "revenue_percent") == [("A", None), ("B", None)]


# daily_category_revenue


def daily(**parameters):
    """The days of each category: (its sales, revenue and average) for each day."""
    days = {}
    for row in rows_of("daily_category_revenue", **parameters):
        figures = (row["sales"], row["revenue"], row["revenue_7_day_average"])
        days.setdefault(row["category"], {})[row["day"].isoformat()] = figures
    return days


def test_every_category_has_every_day_and_the_average_of_seven_days():
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


def test_days_come_in_their_order_with_their_categories_by_name_and_no_category_last():
    record(
        *(sale("1", category=category, paid="2021-02-01") for category in ("shoes", None, "bags")),
        sale("1", paid="2021-02-02"),
    )
    rows = columns_of(rows_of("daily_category_revenue", days=2), "day", "category")
    assert rows == [(date(2021, 2, day), category) for day in (1, 2) for category in ("bags", "shoes", None)]


def test_the_average_of_the_first_day_knows_the_six_days_before_it():
    record(
        sale("1000", category="bags", paid="2021-01-31T23:59:59.999999"),
        sale("70", category="bags", paid="2021-02-01T00:00:00"),
        sale("7", category="bags", paid="2021-02-07"),
    )
    days = daily(start="2021-02-07", end="2021-02-14")["bags"]
    assert [average for _, _, average in days.values()] == [11, 1, 1, 1, 1, 1, 1, 0]


def test_without_a_period_the_days_end_with_the_newest_sale():
    record(sale("1", category="bags", paid="2020-01-01"), sale("1", category="shoes", paid="2021-02-01"))
    for parameters, first in (({}, date(2021, 1, 3)), ({"days": 1}, date(2021, 2, 1))):
        days = daily(**parameters)
        length = (date(2021, 2, 1) - first).days + 1
        assert days.keys() == {"bags", "shoes"}
        assert all(list(each) == [str(first + timedelta(n)) for n in range(length)] for each in days.values())


def test_a_period_may_have_one_end_only():
    record(sale("1", category="bags", paid="2021-02-10"))
    assert list(daily(start="2021-02-08")["bags"]) == ["2021-02-08", "2021-02-09", "2021-02-10"]
    assert list(daily(end="2021-02-11", days=2)["bags"]) == ["2021-02-10", "2021-02-11"]
    assert daily(start="2021-02-11") == {}


def test_one_category_may_be_asked_for():
    record(sale("1", category="bags"), sale("1", category="shoes"), sale("1"))
    assert daily(category="bags", days=1) == {"bags": {"2021-01-03": (1, 1, Decimal("0.142857142857"))}}
    assert daily(category="girls") == {}


def test_a_day_is_one_in_utc():
    record(*sales_at_the_edges(category="bags"))
    days = daily(**PERIOD)["bags"]
    assert [(sales, revenue) for sales, revenue, _ in days.values()] == [(1, 2), (1, 4)]


def test_folded_and_unfolded_sales_count_once():
    record(sale("1", category="bags"))
    feedback.fold()
    record(sale("2", category="bags"))
    assert daily(days=1)["bags"]["2021-01-03"][:2] == (2, 3)


# buyer_cohorts


def cohorts(**parameters):
    """Of each cohort its buyers, and how many of them were active in each month."""
    found = {}
    for row in rows_of("buyer_cohorts", **parameters):
        buyers, active = found.setdefault(str(row["cohort"]), (row["cohort_buyers"], []))
        assert (row["cohort_buyers"], row["months_since"]) == (buyers, len(active))
        active.append(row["active_buyers"])
    return found


def bought(buyer_id, *days, revenue="1"):
    return [sale(revenue, buyer_id=buyer_id, paid=day) for day in days]


def test_cohorts_are_followed_from_their_first_month_to_the_newest():
    record(
        *bought("1", "2020-12-05", "2020-12-31", "2021-02-01"),
        *bought("2", "2020-12-31T23:59:59", "2021-01-01T00:00:00"),
        *bought("3", "2020-12-31"),
        *bought("4", "2021-01-01T00:00:00", "2021-02-28"),
    )
    assert cohorts() == {"2020-12-01": (3, [3, 1, 1]), "2021-01-01": (1, [1, 1])}
    assert columns_of(rows_of("buyer_cohorts"), "retention_percent") == [
        *(100, Decimal("33.333333333333"), Decimal("33.333333333333")),
        *(100, 100),
    ]


def test_a_month_in_which_nobody_came_back_counts_zero():
    record(*bought("1", "2021-01-01", "2021-03-01"))
    assert cohorts() == {"2021-01-01": (1, [1, 0, 1])}


def test_a_free_item_is_a_purchase_and_a_refund_is_none():
    record(
        *(*bought("1", "2021-01-01"), *bought("1", "2021-02-01", revenue="0")),
        *(*bought("2", "2021-01-01"), *bought("2", "2021-02-01", revenue="-1")),
        *(*bought("3", "2021-01-01", revenue="-1"), *bought("3", "2021-02-01")),
        *bought("4", "2021-03-01", revenue="-1"),
    )
    assert cohorts() == {"2021-01-01": (2, [2, 1, 0]), "2021-02-01": (1, [1, 0])}


def test_a_cohort_is_followed_for_as_many_months_as_asked_for():
    record(*bought("1", "2019-01-01", "2021-01-01"))
    assert cohorts() == {"2019-01-01": (1, [1, *[0] * 12])}
    assert cohorts(months=0) == {"2019-01-01": (1, [1])}
    assert cohorts(months=None) == {"2019-01-01": (1, [1, *[0] * 23, 1])}


def test_cohorts_of_a_period_are_those_of_its_months_and_first_purchases_those_of_all_time():
    record(*bought("1", "2020-12-01", "2021-01-01"), *bought("2", "2021-01-01"), *bought("3", "2021-02-01"))
    everything = cohorts()
    assert list(everything) == ["2020-12-01", "2021-01-01", "2021-02-01"]
    assert cohorts(start="2021-01-31") == {key: everything[key] for key in ("2021-01-01", "2021-02-01")}
    assert cohorts(end="2021-01-01") == {key: everything[key] for key in ("2020-12-01", "2021-01-01")}
    assert cohorts(start="2021-01-15", end="2021-01-15") == {"2021-01-01": everything["2021-01-01"]}


# new_and_returning_buyers


def weeks(**parameters):
    """Of each week its new and its returning buyers."""
    rows = rows_of("new_and_returning_buyers", **parameters)
    return {str(row["week"]): (row["new_buyers"], row["returning_buyers"]) for row in rows}


def test_a_buyer_is_new_in_one_week_and_returns_in_later_ones():
    record(
        *bought("1", "2021-02-01", "2021-02-02", "2021-02-08", "2021-02-09"),
        *bought("2", "2021-02-07", "2021-02-08"),
        *bought("3", "2021-02-14"),
        *bought("1", "2021-02-14", revenue="2.5"),
    )
    assert rows_of("new_and_returning_buyers") == [
        {
            "week": date(2021, 2, 1),
            "new_buyers": 2,
            "returning_buyers": 0,
            "returning_percent": 0,
            "new_revenue": 3,
            "returning_revenue": 0,
            "sales": 3,
            "week_end": date(2021, 2, 7),
        },
        {
            "week": date(2021, 2, 8),
            "new_buyers": 1,
            "returning_buyers": 2,
            "returning_percent": Decimal("66.666666666667"),
            "new_revenue": 1,
            "returning_revenue": Decimal("5.5"),
            "sales": 5,
            "week_end": date(2021, 2, 14),
        },
    ]


def test_weeks_begin_on_monday_at_midnight_in_utc_in_whatever_year():
    record(
        *bought("1", "2020-12-27T23:59:59.999999"),
        *bought("2", "2020-12-28T00:00:00"),
        *bought("3", "2021-01-04T00:30:00+01:00"),
        *bought("4", "2021-01-04T00:00:00"),
    )
    assert weeks() == {"2020-12-21": (1, 0), "2020-12-28": (2, 0), "2021-01-04": (1, 0)}


def test_a_week_without_sales_is_there():
    record(*bought("1", "2021-02-01", "2021-02-15"))
    assert weeks() == {"2021-02-01": (1, 0), "2021-02-08": (0, 0), "2021-02-15": (0, 1)}
    quiet = rows_of("new_and_returning_buyers")[1]
    assert [quiet[name] for name in ("returning_percent", "new_revenue", "returning_revenue", "sales")] == [
        None,
        0,
        0,
        0,
    ]


def test_a_refund_makes_nobody_a_buyer_but_is_negative_revenue():
    record(
        *(*bought("1", "2021-02-01"), *bought("1", "2021-02-02", "2021-02-08", revenue="-4")),  # new, then nothing
        *(*bought("2", "2021-02-01", revenue="-2"), *bought("2", "2021-02-08", revenue="0")),  # new in the second week
        *bought("3", "2021-02-08", revenue="-8"),  # never bought
    )
    columns = ("new_buyers", "returning_buyers", "new_revenue", "returning_revenue", "sales")
    assert columns_of(rows_of("new_and_returning_buyers"), *columns) == [(1, 0, -3, -2, 3), (1, 0, 0, -12, 3)]


def test_weeks_of_a_period_are_whole_and_first_purchases_those_of_all_time():
    record(*bought("1", "2021-02-01", "2021-02-14", "2021-02-15"), *bought("2", "2021-02-08"))
    everything = {"2021-02-01": (1, 0), "2021-02-08": (1, 1), "2021-02-15": (0, 1)}
    assert weeks() == everything
    assert list(weeks(start="2021-02-07")) == list(everything)
    assert list(weeks(start="2021-02-08", end="2021-02-15")) == ["2021-02-08", "2021-02-15"]
    assert weeks(start="2021-02-14", end="2021-02-14") == {"2021-02-08": (1, 1)}
    assert list(weeks(end="2021-02-07")) == ["2021-02-01"]


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


def test_the_mix_may_be_that_of_sellers():
    place_countries(_1="Europe", _2="Asia")
    record(sale("1", buyer="1", seller="2"))
    assert columns_of(rows_of("category_mix_by_continent"), "continent") == ["Europe"]
    assert columns_of(rows_of("category_mix_by_continent", side="seller"), "continent") == ["Asia"]


def test_equal_continents_and_categories_come_by_name_and_no_category_last():
    place_countries(_1="Europe", _2="Asia")
    record(*(sale("0", buyer=buyer, category=category) for buyer in "12" for category in ("boys", None, "bags")))
    rows = columns_of(rows_of("category_mix_by_continent"), "continent", "category", "revenue_percent")
    assert rows == [
        (continent, category, None) for continent in ("Asia", "Europe") for category in ("bags", "boys", None)
    ]


# average_sale_by_buyer_country


def test_refunds_are_left_out_of_the_average():
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


def test_countries_with_few_sales_may_be_left_out():
    record(*(sale("1", buyer="2") for _ in range(2)), sale("1", buyer="1"), sale("-1", buyer="3"))
    assert columns_of(rows_of("average_sale_by_buyer_country"), "id_country") == ["1", "2"]
    assert columns_of(rows_of("average_sale_by_buyer_country", minimum_sales=2), "id_country") == ["2"]


def test_the_average_may_be_that_of_one_category():
    record(sale("1", category="bags"), sale("5", category="boys"), sale("9"))
    assert columns_of(rows_of("average_sale_by_buyer_country", category="bags"), "average_sale") == [1]


# largest_buyers and largest_sellers


@pytest.fixture(params=["buyer", "seller"])
def side(request):
    return request.param


def largest(side, **parameters):
    return rows_of(f"largest_{side}s", **parameters)


def trade(side, person, revenue, country="170", **fields):
    """A sale of this buyer or seller, from this country."""
    return sale(revenue, **{f"{side}_id": person, side: country}, **fields)


def test_people_are_ranked_by_revenue_and_equal_ones_by_id(side):
    name_countries(_170="France")
    record(
        *(trade(side, "10", "4"), trade(side, "9", "4.0", country="905")),
        *(trade(side, "3", "10", paid="2021-02-01"), trade(side, "3", "-8", paid="2021-02-03")),
    )
    columns = (f"id_{side}", "id_country", "country_name", "revenue", "sales", "refunds", "revenue_percent")
    rows = largest(side)
    assert columns_of(rows, *columns) == [
        ("10", "170", "France", 4, 1, 0, 40),
        ("9", "905", "905", 4, 1, 0, 40),
        ("3", "170", "France", 2, 2, 1, 20),
    ]
    assert (rows[2]["first_payment"], rows[2]["last_payment"]) == (parse_time("2021-02-01"), parse_time("2021-02-03"))


def test_somebody_in_several_countries_is_listed_once_where_most_sales_are(side):
    record(
        *(trade(side, "1", "100", country="2"), trade(side, "1", "1", country="3"), trade(side, "1", "1", country="3")),
        *(trade(side, "2", "3", country="8"), trade(side, "2", "4", country="7")),
    )
    columns = (f"id_{side}", "id_country", "revenue", "sales")
    assert columns_of(largest(side), *columns) == [("1", "3", 102, 3), ("2", "7", 7, 2)]


def test_of_one_country_only_its_sales_count(side):
    record(trade(side, "1", "3"), trade(side, "1", "5", country="2"), trade(side, "2", "9", country="3"))
    columns = (f"id_{side}", "revenue", "revenue_percent")
    assert columns_of(largest(side, country="170"), *columns) == [("1", 3, 100)]
    assert largest(side, country="nowhere") == []


def test_as_many_people_are_listed_as_asked_for_and_shares_are_of_everybody(side):
    record(*(trade(side, str(number), "1") for number in range(200)))
    assert len(largest(side)) == 100
    assert len(largest(side, **{f"{side}s": None})) == 200
    assert columns_of(largest(side, **{f"{side}s": 1}), f"id_{side}", "revenue_percent") == [("0", Decimal("0.5"))]


def test_people_have_no_share_of_no_revenue(side):
    record(trade(side, "1", "1"), trade(side, "2", "-1"))
    assert columns_of(largest(side), "revenue_percent") == [None, None]


# unknown_country_sales


def test_sales_of_countries_without_a_name_are_counted_on_both_sides():
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


def test_unknown_countries_with_as_many_sales_come_by_id():
    record(*(sale("1", seller=country, buyer=country) for country in ("9", "10", "1")))
    assert columns_of(rows_of("unknown_country_sales"), "id_country") == ["1", "10", "9"]


def test_a_country_without_a_name_is_a_warning():
    name_countries(_170="France")
    record(sale("1"))
    assert not failed_assertions("unknown_country_sales")
    record(sale("1", seller="905"))
    assert failed_assertions("unknown_country_sales") == ["Some sales are of countries that have no name yet."]


def failed_assertions(name):
    report = get_report(name)
    with run(report, report.parse({})) as result:
        return [assertion.failure_message for assertion in result.failed_assertions]


# sales


def orders(**parameters):
    return columns_of(rows_of("sales", **parameters), "revenue")


def test_sales_are_listed_newest_first_with_every_digit():
    digits = "999999999999999.99999999999999999999"
    record(sale("1.50", paid="2021-02-01"), sale(digits, paid="2021-02-03"), sale("-2", paid="2021-02-02"))
    assert [str(revenue) for revenue in orders()] == [digits, "-2", "1.50"]
    assert [str(revenue) for revenue in orders(minimum=digits)] == [digits]
    assert orders(minimum="-2", maximum="1.4") == [-2]


def test_both_days_of_listed_sales_count_whole_and_in_utc():
    record(*sales_at_the_edges())
    assert orders(**PERIOD) == [4, 2]


def test_conditions_on_listed_sales_must_all_be_met():
    name_countries(_1="One")
    record(
        sale("1", brand="A", category="bags"), sale("2", brand="A"), sale("3", category="bags"), sale("4", seller="1")
    )
    assert orders(brand="A", category="bags") == [1]
    assert orders(brand="A", no_category="true") == [2]
    assert orders(brand="A", no_brand="true") == []
    assert orders(no_brand="true", no_category="true") == [4]
    assert orders(no_brand="false", seller_country="1") == [4]
    assert orders(seller_continent="Europe") == []


def test_a_listed_sale_of_a_country_without_a_name_is_there_under_its_id():
    name_countries(_1="One")
    record(sale("1", seller="1", buyer="2"))
    (row,) = rows_of("sales")
    assert (row["seller_country_name"], row["buyer_country_name"]) == ("One", "2")
