"""The reports on buyers and sellers, for hand-made sales."""

from datetime import date
from decimal import Decimal

import pytest

from analytics.tests.helpers import (
    columns_of,
    name_countries,
    parse_time,
    record,
    rows_of,
    sale,
)

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])


# buyer_cohorts


def cohorts(**parameters):
    """Return cohort -> (its buyers, the active buyers of each month)."""
    cohorts_by_month = {}
    for row in rows_of("buyer_cohorts", **parameters):
        buyers, active = cohorts_by_month.setdefault(str(row["cohort"]), (row["cohort_buyers"], []))
        assert (row["cohort_buyers"], row["months_since"]) == (buyers, len(active))
        active.append(row["active_buyers"])
    return cohorts_by_month


def bought(buyer_id, *days, revenue="1"):
    return [sale(revenue, buyer_id=buyer_id, paid=day) for day in days]


def test_a_cohort_has_each_month_from_its_first_to_the_newest():
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


def test_a_month_without_active_buyers_is_zero():
    record(*bought("1", "2021-01-01", "2021-03-01"))
    assert cohorts() == {"2021-01-01": (1, [1, 0, 1])}


def test_a_free_item_is_a_purchase_but_a_refund_is_not():
    record(
        *(*bought("1", "2021-01-01"), *bought("1", "2021-02-01", revenue="0")),
        *(*bought("2", "2021-01-01"), *bought("2", "2021-02-01", revenue="-1")),
        *(*bought("3", "2021-01-01", revenue="-1"), *bought("3", "2021-02-01")),
        *bought("4", "2021-03-01", revenue="-1"),
    )
    assert cohorts() == {"2021-01-01": (2, [2, 1, 0]), "2021-02-01": (1, [1, 0])}


def test_the_number_of_months_can_be_chosen():
    record(*bought("1", "2019-01-01", "2021-01-01"))
    assert cohorts() == {"2019-01-01": (1, [1, *[0] * 12])}
    assert cohorts(months=0) == {"2019-01-01": (1, [1])}
    assert cohorts(months=None) == {"2019-01-01": (1, [1, *[0] * 23, 1])}


def test_a_period_selects_cohorts_without_changing_them():
    record(*bought("1", "2020-12-01", "2021-01-01"), *bought("2", "2021-01-01"), *bought("3", "2021-02-01"))
    all_rows = cohorts()
    assert list(all_rows) == ["2020-12-01", "2021-01-01", "2021-02-01"]
    assert cohorts(start="2021-01-31") == {key: all_rows[key] for key in ("2021-01-01", "2021-02-01")}
    assert cohorts(end="2021-01-01") == {key: all_rows[key] for key in ("2020-12-01", "2021-01-01")}
    assert cohorts(start="2021-01-15", end="2021-01-15") == {"2021-01-01": all_rows["2021-01-01"]}


# new_and_returning_buyers


def weeks(**parameters):
    """Return week -> (new buyers, returning buyers)."""
    rows = rows_of("new_and_returning_buyers", **parameters)
    return {str(row["week"]): (row["new_buyers"], row["returning_buyers"]) for row in rows}


def test_a_buyer_is_new_in_one_week_and_returning_in_later_weeks():
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


def test_weeks_begin_on_monday_at_midnight_utc_across_years():
    record(
        *bought("1", "2020-12-27T23:59:59.999999"),
        *bought("2", "2020-12-28T00:00:00"),
        *bought("3", "2021-01-04T00:30:00+01:00"),
        *bought("4", "2021-01-04T00:00:00"),
    )
    assert weeks() == {"2020-12-21": (1, 0), "2020-12-28": (2, 0), "2021-01-04": (1, 0)}


def test_a_week_without_sales_has_a_row():
    record(*bought("1", "2021-02-01", "2021-02-15"))
    assert weeks() == {"2021-02-01": (1, 0), "2021-02-08": (0, 0), "2021-02-15": (0, 1)}
    quiet = rows_of("new_and_returning_buyers")[1]
    assert [quiet[name] for name in ("returning_percent", "new_revenue", "returning_revenue", "sales")] == [
        None,
        0,
        0,
        0,
    ]


def test_a_refund_is_no_purchase_but_negative_revenue():
    record(
        *(*bought("1", "2021-02-01"), *bought("1", "2021-02-02", "2021-02-08", revenue="-4")),  # new, then nothing
        *(*bought("2", "2021-02-01", revenue="-2"), *bought("2", "2021-02-08", revenue="0")),  # new in the second week
        *bought("3", "2021-02-08", revenue="-8"),  # never bought
    )
    columns = ("new_buyers", "returning_buyers", "new_revenue", "returning_revenue", "sales")
    assert columns_of(rows_of("new_and_returning_buyers"), *columns) == [(1, 0, -3, -2, 3), (1, 0, 0, -12, 3)]


def test_a_period_selects_whole_weeks_without_changing_them():
    record(*bought("1", "2021-02-01", "2021-02-14", "2021-02-15"), *bought("2", "2021-02-08"))
    all_rows = {"2021-02-01": (1, 0), "2021-02-08": (1, 1), "2021-02-15": (0, 1)}
    assert weeks() == all_rows
    assert list(weeks(start="2021-02-07")) == list(all_rows)
    assert list(weeks(start="2021-02-08", end="2021-02-15")) == ["2021-02-08", "2021-02-15"]
    assert weeks(start="2021-02-14", end="2021-02-14") == {"2021-02-08": (1, 1)}
    assert list(weeks(end="2021-02-07")) == ["2021-02-01"]


# largest_buyers and largest_sellers


@pytest.fixture(params=["buyer", "seller"])
def side(request):
    return request.param


def largest(side, **parameters):
    return rows_of(f"largest_{side}s", **parameters)


def trade(side, trader, revenue, country="170", **fields):
    """Return a sale of this buyer or seller, from this country."""
    return sale(revenue, **{f"{side}_id": trader, side: country}, **fields)


def test_traders_are_sorted_by_revenue_and_then_by_id(side):
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


def test_a_trader_with_several_countries_is_listed_in_that_with_most_sales(side):
    record(
        *(trade(side, "1", "100", country="2"), trade(side, "1", "1", country="3"), trade(side, "1", "1", country="3")),
        *(trade(side, "2", "3", country="8"), trade(side, "2", "4", country="7")),
    )
    columns = (f"id_{side}", "id_country", "revenue", "sales")
    assert columns_of(largest(side), *columns) == [("1", "3", 102, 3), ("2", "7", 7, 2)]


def test_a_country_selects_only_its_sales(side):
    record(trade(side, "1", "3"), trade(side, "1", "5", country="2"), trade(side, "2", "9", country="3"))
    columns = (f"id_{side}", "revenue", "revenue_percent")
    assert columns_of(largest(side, country="170"), *columns) == [("1", 3, 100)]
    assert largest(side, country="nowhere") == []


def test_the_number_of_traders_can_be_chosen_and_shares_are_of_all(side):
    record(*(trade(side, str(number), "1") for number in range(200)))
    assert len(largest(side)) == 100
    assert len(largest(side, **{f"{side}s": None})) == 200
    assert columns_of(largest(side, **{f"{side}s": 1}), f"id_{side}", "revenue_percent") == [("0", Decimal("0.5"))]


def test_shares_of_traders_are_null_if_the_revenue_is_zero(side):
    record(trade(side, "1", "1"), trade(side, "2", "-1"))
    assert columns_of(largest(side), "revenue_percent") == [None, None]
