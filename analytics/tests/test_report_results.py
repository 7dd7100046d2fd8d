"""The first three reports, for hand-made sales and for demo sales that Python adds up again."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from analytics.tests.helpers import (
    PERIOD,
    columns_of,
    name_countries,
    percent,
    record,
    rows_of,
    sale,
    sales_at_the_edges,
)
from countries.models import Country
from sales.ingest.writer import record_sales

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

WEEK_1 = datetime(2021, 1, 3, 12, tzinfo=UTC)
WEEK_2 = datetime(2021, 1, 10, 12, tzinfo=UTC)
TOLERANCE = Fraction(1, 10**9)  # for the sum of all shares


# country_contribution


def contribution(id_country, country_name, **figures):
    return {"id_country": id_country, "country_name": country_name, **figures}


def test_each_seller_country_has_its_share_of_revenue_and_items():
    name_countries(_170="France", _203="Spain")
    record_sales([sale("10"), sale("20", buyer="203"), sale("10.00", seller="203", buyer="170"), sale("0")])
    assert rows_of("country_contribution") == [
        contribution("170", "France", revenue=Decimal("30.00"), items=3, revenue_percent=75, items_percent=75),
        contribution("203", "Spain", revenue=Decimal("10.00"), items=1, revenue_percent=25, items_percent=25),
    ]


def test_an_unknown_country_has_its_id_and_shares_add_up_to_100():
    name_countries(_170="France")
    record_sales([sale("1"), sale("1", seller="999"), sale("1", seller="905")])
    rows = rows_of("country_contribution")
    assert [(row["id_country"], row["country_name"]) for row in rows] == [
        ("170", "France"),
        ("905", "905"),
        ("999", "999"),
    ]
    for share in ("revenue_percent", "items_percent"):
        assert abs(sum(Fraction(row[share]) for row in rows) - 100) <= TOLERANCE


def test_two_countries_with_the_same_name_have_two_rows():
    name_countries(_1="Georgia", _2="Georgia")
    record_sales([sale("2", seller="1"), sale("1", seller="2")])
    assert [row["id_country"] for row in rows_of("country_contribution")] == ["1", "2"]


def test_shares_of_zero_revenue_are_null():
    record_sales([sale("5", seller="1"), sale("-5", seller="2")])
    rows = rows_of("country_contribution")
    assert [(row["revenue"], row["revenue_percent"], row["items_percent"]) for row in rows] == [
        (5, None, 50),
        (-5, None, 50),
    ]


def test_there_is_no_contribution_without_sales():
    name_countries(_170="France")
    assert rows_of("country_contribution") == []


@pytest.mark.parametrize("name", ["country_contribution", "top_country_relationships"])
def test_a_period_includes_both_whole_days_in_utc(name):
    record(*sales_at_the_edges(buyer="203"))
    assert columns_of(rows_of(name, **PERIOD), "revenue") == [6]
    assert columns_of(rows_of(name, start="2021-02-02"), "revenue") == [14]
    assert columns_of(rows_of(name, end="2021-02-03"), "revenue") == [7]
    assert columns_of(rows_of(name), "revenue") == [15]
    assert rows_of(name, start="2021-02-05") == []


# top_country_relationships


def relationship(country_1, country_2, **figures):
    columns = ("id_country_1", "country_name_1", "id_country_2", "country_name_2")
    return dict(zip(columns, (*country_1, *country_2), strict=True)) | figures


def test_both_directions_are_added_together():
    name_countries(_1="One", _2="Two")
    record_sales(
        [sale("6", seller="2", buyer="1"), sale("5.5", seller="1", buyer="2"), sale("10", seller="1", buyer="3")]
    )
    assert rows_of("top_country_relationships") == [
        relationship(("1", "One"), ("2", "Two"), revenue=Decimal("11.5"), sales=2)
    ]


def test_sales_within_a_country_do_not_count():
    record_sales([sale("1000", seller="1", buyer="1"), sale("1", seller="1", buyer="2")])
    (row,) = rows_of("top_country_relationships")
    assert (row["id_country_1"], row["id_country_2"], row["revenue"]) == ("1", "2", 1)


def test_a_relationship_of_unknown_countries_has_their_ids():
    record_sales([sale("1", seller="999", buyer="905")])
    (row,) = rows_of("top_country_relationships")
    assert (row["country_name_1"], row["country_name_2"]) == ("905", "999")


def test_relationships_with_equal_revenue_are_sorted_by_ids():
    record_sales(
        [sale("5", seller="3", buyer="2"), sale("5", seller="3", buyer="1"), sale("5.00", seller="2", buyer="1")]
    )
    (row,) = rows_of("top_country_relationships")
    assert (row["id_country_1"], row["id_country_2"]) == ("1", "2")


def test_the_number_of_pairs_can_be_chosen():
    record(sale("1", seller="1", buyer="2"), sale("9", seller="2", buyer="3"), sale("9", seller="3", buyer="1"))
    pairs = columns_of(rows_of("top_country_relationships", pairs=5), "id_country_1", "id_country_2", "revenue")
    assert pairs == [("1", "3", 9), ("2", "3", 9), ("1", "2", 1)]
    assert len(rows_of("top_country_relationships", pairs=2)) == 2


def test_there_is_no_relationship_without_sales_between_countries():
    record_sales([sale("1000", seller="1", buyer="1")])
    assert rows_of("top_country_relationships") == []


# repeat_buyer_revenue


def test_the_revenue_of_repeat_buyers_is_compared():
    record_sales([sale("10"), sale("10"), sale("25", paid=WEEK_2)])
    assert rows_of("repeat_buyer_revenue") == [
        {"buyers": 1, "week_1_revenue": 20, "week_2_revenue": 25, "change_percent": 25}
    ]


def test_a_buyer_in_only_one_week_does_not_count():
    record_sales(
        [
            *(sale("10"), sale("5", paid=WEEK_2)),
            *(sale("1000", buyer_id="2"), sale("1000", buyer_id="3", paid=WEEK_2)),
        ]
    )
    assert rows_of("repeat_buyer_revenue") == [
        {"buyers": 1, "week_1_revenue": 10, "week_2_revenue": 5, "change_percent": -50}
    ]


@pytest.mark.parametrize(
    ("paid", "weeks"),
    [
        ("2020-12-31T23:59:59.999999Z", (0, 0)),
        ("2021-01-01T00:00:00Z", (1, 0)),
        ("2021-01-07T00:09:24Z", (1, 0)),
        ("2021-01-07T23:59:59.999999Z", (1, 0)),
        ("2021-01-08T00:30:00+01:00", (1, 0)),
        ("2021-01-08T00:00:00Z", (0, 1)),
        ("2021-01-14T23:59:59Z", (0, 1)),
        ("2021-01-15T00:00:00Z", (0, 0)),
    ],
)
def test_a_week_is_seven_whole_days_in_utc(paid, weeks):
    record_sales([sale("100"), sale("100", paid=WEEK_2), sale("1", paid=datetime.fromisoformat(paid))])
    (row,) = rows_of("repeat_buyer_revenue")
    assert (row["week_1_revenue"] - 100, row["week_2_revenue"] - 100) == weeks


@pytest.mark.parametrize(
    ("paid", "periods"),
    [
        ("2021-03-02T23:59:59.999999Z", (0, 0)),
        ("2021-03-03T00:00:00Z", (1, 0)),
        ("2021-03-16T23:59:59.999999Z", (1, 0)),
        ("2021-03-17T00:00:00Z", (0, 1)),
        ("2021-03-31T01:30:00+02:00", (0, 1)),
        ("2021-03-31T00:00:00Z", (0, 0)),
    ],
)
def test_longer_periods_from_another_day_can_be_compared(paid, periods):
    inside = (datetime(2021, 3, 9, tzinfo=UTC), datetime(2021, 3, 25, tzinfo=UTC))
    record(*(sale("100", paid=time) for time in inside), sale("1", paid=datetime.fromisoformat(paid)))
    (row,) = rows_of("repeat_buyer_revenue", first_day="2021-03-03", weeks=2)
    assert (row["week_1_revenue"] - 100, row["week_2_revenue"] - 100) == periods


def test_the_change_is_null_without_repeat_buyers():
    record_sales([sale("10"), sale("10", buyer_id="2", paid=WEEK_2)])
    assert rows_of("repeat_buyer_revenue") == [
        {"buyers": 0, "week_1_revenue": 0, "week_2_revenue": 0, "change_percent": None}
    ]


def test_the_change_is_null_if_the_revenue_of_the_first_week_is_zero():
    record_sales([sale("10"), sale("-10"), sale("5", paid=WEEK_2)])
    assert rows_of("repeat_buyer_revenue") == [
        {"buyers": 1, "week_1_revenue": 0, "week_2_revenue": 5, "change_percent": None}
    ]


def test_a_free_item_counts_as_a_purchase():
    record_sales([sale("10"), sale("0", paid=WEEK_2)])
    (row,) = rows_of("repeat_buyer_revenue")
    assert (row["buyers"], row["change_percent"]) == (1, -100)


# Demo sales

PERIODS = [{}, {"start": "2020-12-24"}, {"end": "2020-12-23"}, {"start": "2020-12-24", "end": "2021-01-02"}]


def in_period(event, start="0001-01-01", end="9999-12-31"):
    return start <= event["DATE_PAYMENT"].date().isoformat() <= end


def names():
    return dict(Country.objects.values_list("id_country", "country_name"))


@pytest.mark.parametrize("period", PERIODS)
def test_country_contribution_equals_the_sums_of_python(market, period):
    revenue, items = defaultdict(Decimal), defaultdict(int)
    for event in market:
        if in_period(event, **period):
            revenue[event["ID_SELLER_COUNTRY"]] += event["REVENUE"]
            items[event["ID_SELLER_COUNTRY"]] += 1
    rows = rows_of("country_contribution", **period)
    assert rows == [
        contribution(
            id_country,
            names().get(id_country, id_country),
            revenue=revenue[id_country],
            items=items[id_country],
            revenue_percent=percent(revenue[id_country], sum(revenue.values())),
            items_percent=percent(items[id_country], sum(items.values())),
        )
        for id_country in sorted(revenue, key=lambda id_country: (-revenue[id_country], id_country))
    ]
    assert any(row["id_country"] == row["country_name"] for row in rows), "the data have no unknown country"
    assert abs(sum(Fraction(row["revenue_percent"]) for row in rows) - 100) <= TOLERANCE
    assert abs(sum(Fraction(row["items_percent"]) for row in rows) - 100) <= TOLERANCE


@pytest.mark.parametrize(
    ("period", "pairs"), [(PERIODS[0], 1), (PERIODS[1], 7), (PERIODS[2], 1), (PERIODS[3], 100_000)]
)
def test_top_country_relationships_equals_the_sums_of_python(market, period, pairs):
    revenues = defaultdict(list)
    for event in market:
        pair = tuple(sorted((event["ID_SELLER_COUNTRY"], event["ID_BUYER_COUNTRY"])))
        if pair[0] != pair[1] and in_period(event, **period):
            revenues[pair].append(event["REVENUE"])
    best = sorted(revenues, key=lambda pair: (-sum(revenues[pair]), pair))[:pairs]
    parameters = period | ({"pairs": pairs} if pairs > 1 else {})
    assert rows_of("top_country_relationships", **parameters) == [
        relationship(
            *((id_country, names().get(id_country, id_country)) for id_country in pair),
            revenue=sum(revenues[pair]),
            sales=len(revenues[pair]),
        )
        for pair in best
    ]
    assert best, "the data have no sales between countries"


@pytest.mark.parametrize(("first_day", "weeks"), [(None, None), ("2020-12-02", 1), ("2020-09-30", 13)])
def test_repeat_buyer_revenue_equals_the_sums_of_python(market, first_day, weeks):
    start = date.fromisoformat(first_day or "2021-01-01")
    middle, end = start + timedelta(weeks=weeks or 1), start + timedelta(weeks=2 * (weeks or 1))
    both = (defaultdict(Decimal), defaultdict(Decimal))
    for event in market:
        if start <= event["DATE_PAYMENT"].date() < end:
            both[event["DATE_PAYMENT"].date() >= middle][event["ID_BUYER"]] += event["REVENUE"]
    buyers = both[0].keys() & both[1].keys()
    first, second = (sum(period[buyer] for buyer in buyers) for period in both)
    parameters = {"first_day": first_day, "weeks": weeks} if first_day else {}
    assert rows_of("repeat_buyer_revenue", **parameters) == [
        {
            "buyers": len(buyers),
            "week_1_revenue": first,
            "week_2_revenue": second,
            "change_percent": percent(second - first, first),
        }
    ]
    assert len(buyers) > 5, "the data have too few repeat buyers"
