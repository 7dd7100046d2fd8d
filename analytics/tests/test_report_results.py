"""What the three reports say: hand-made cases for their edges, and invented markets added up again in Python."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from analytics.tests.helpers import columns_of, name_countries, percent, record, rows_of, sale
from countries.models import Country
from sales.ingest.writer import record_sales

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

WEEK_1 = datetime(2021, 1, 3, 12, tzinfo=UTC)
WEEK_2 = datetime(2021, 1, 10, 12, tzinfo=UTC)
CLOSE = Fraction(1, 10**9)  # how far the sum of all shares may be from 100


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


def test_a_country_without_a_name_appears_under_its_id_and_the_shares_still_add_up_to_100():
    name_countries(_170="France")
    record_sales([sale("1"), sale("1", seller="999"), sale("1", seller="905")])
    rows = rows_of("country_contribution")
    assert [(row["id_country"], row["country_name"]) for row in rows] == [
        ("170", "France"),
        ("905", "905"),
        ("999", "999"),
    ]
    for share in ("revenue_percent", "items_percent"):
        assert abs(sum(Fraction(row[share]) for row in rows) - 100) <= CLOSE


def test_two_countries_of_one_name_stay_two():
    name_countries(_1="Georgia", _2="Georgia")
    record_sales([sale("2", seller="1"), sale("1", seller="2")])
    assert [row["id_country"] for row in rows_of("country_contribution")] == ["1", "2"]


def test_a_share_of_no_revenue_is_null_and_no_error():
    record_sales([sale("5", seller="1"), sale("-5", seller="2")])
    rows = rows_of("country_contribution")
    assert [(row["revenue"], row["revenue_percent"], row["items_percent"]) for row in rows] == [
        (5, None, 50),
        (-5, None, 50),
    ]


def test_without_sales_no_country_contributes():
    name_countries(_170="France")
    assert rows_of("country_contribution") == []


EDGES = {
    "1": "2021-02-01T23:59:59.999999+00:00",
    "2": "2021-02-02T00:00:00+00:00",
    "4": "2021-02-04T00:30:00+01:00",
    "8": "2021-02-04T00:00:00+00:00",
}


@pytest.mark.parametrize("name", ["country_contribution", "top_country_relationships"])
def test_both_days_of_a_period_count_whole_and_in_utc(name):
    record(*(sale(revenue, buyer="203", paid=datetime.fromisoformat(paid)) for revenue, paid in EDGES.items()))
    assert columns_of(rows_of(name, start="2021-02-02", end="2021-02-03"), "revenue") == [6]
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


def test_sales_within_a_country_are_left_out():
    record_sales([sale("1000", seller="1", buyer="1"), sale("1", seller="1", buyer="2")])
    (row,) = rows_of("top_country_relationships")
    assert (row["id_country_1"], row["id_country_2"], row["revenue"]) == ("1", "2", 1)


def test_a_relationship_of_countries_without_names_appears_under_their_ids():
    record_sales([sale("1", seller="999", buyer="905")])
    (row,) = rows_of("top_country_relationships")
    assert (row["country_name_1"], row["country_name_2"]) == ("905", "999")


def test_of_equal_relationships_the_one_with_the_lowest_ids_is_the_top():
    record_sales(
        [sale("5", seller="3", buyer="2"), sale("5", seller="3", buyer="1"), sale("5.00", seller="2", buyer="1")]
    )
    (row,) = rows_of("top_country_relationships")
    assert (row["id_country_1"], row["id_country_2"]) == ("1", "2")


def test_as_many_pairs_are_listed_as_asked_for_the_strongest_first():
    record(sale("1", seller="1", buyer="2"), sale("9", seller="2", buyer="3"), sale("9", seller="3", buyer="1"))
    pairs = columns_of(rows_of("top_country_relationships", pairs=5), "id_country_1", "id_country_2", "revenue")
    assert pairs == [("1", "3", 9), ("2", "3", 9), ("1", "2", 1)]
    assert len(rows_of("top_country_relationships", pairs=2)) == 2


def test_without_sales_between_countries_there_is_no_top_relationship():
    record_sales([sale("1000", seller="1", buyer="1")])
    assert rows_of("top_country_relationships") == []


# repeat_buyer_revenue


def test_the_revenue_of_repeat_buyers_is_compared():
    record_sales([sale("10"), sale("10"), sale("25", paid=WEEK_2)])
    assert rows_of("repeat_buyer_revenue") == [
        {"buyers": 1, "week_1_revenue": 20, "week_2_revenue": 25, "change_percent": 25}
    ]


def test_a_buyer_in_one_week_only_is_left_out():
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
def test_longer_periods_from_another_day_may_be_compared(paid, periods):
    inside = (datetime(2021, 3, 9, tzinfo=UTC), datetime(2021, 3, 25, tzinfo=UTC))
    record(*(sale("100", paid=each) for each in inside), sale("1", paid=datetime.fromisoformat(paid)))
    (row,) = rows_of("repeat_buyer_revenue", first_day="2021-03-03", weeks=2)
    assert (row["week_1_revenue"] - 100, row["week_2_revenue"] - 100) == periods


def test_the_change_is_null_when_nobody_bought_in_both_weeks():
    record_sales([sale("10"), sale("10", buyer_id="2", paid=WEEK_2)])
    assert rows_of("repeat_buyer_revenue") == [
        {"buyers": 0, "week_1_revenue": 0, "week_2_revenue": 0, "change_percent": None}
    ]


def test_the_change_is_null_when_the_first_week_has_no_revenue():
    record_sales([sale("10"), sale("-10"), sale("5", paid=WEEK_2)])
    assert rows_of("repeat_buyer_revenue") == [
        {"buyers": 1, "week_1_revenue": 0, "week_2_revenue": 5, "change_percent": None}
    ]


def test_a_free_item_makes_a_repeat_buyer_too():
    record_sales([sale("10"), sale("0", paid=WEEK_2)])
    (row,) = rows_of("repeat_buyer_revenue")
    assert (row["buyers"], row["change_percent"]) == (1, -100)


# Invented markets, added up again in Python

PERIODS = [{}, {"start": "2020-12-24"}, {"end": "2020-12-23"}, {"start": "2020-12-24", "end": "2021-01-02"}]


def in_period(event, start="0001-01-01", end="9999-12-31"):
    return start <= event["DATE_PAYMENT"].date().isoformat() <= end


def names():
    return dict(Country.objects.values_list("id_country", "country_name"))


@pytest.mark.parametrize("period", PERIODS)
def test_country_contribution_is_what_python_adds_up(market, period):
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
    assert any(row["id_country"] == row["country_name"] for row in rows), "no country without a name in the data"
    assert abs(sum(Fraction(row["revenue_percent"]) for row in rows) - 100) <= CLOSE
    assert abs(sum(Fraction(row["items_percent"]) for row in rows) - 100) <= CLOSE


@pytest.mark.parametrize(
    ("period", "pairs"), [(PERIODS[0], 1), (PERIODS[1], 7), (PERIODS[2], 1), (PERIODS[3], 100_000)]
)
def test_top_country_relationships_is_what_python_adds_up(market, period, pairs):
    found = defaultdict(list)
    for event in market:
        pair = tuple(sorted((event["ID_SELLER_COUNTRY"], event["ID_BUYER_COUNTRY"])))
        if pair[0] != pair[1] and in_period(event, **period):
            found[pair].append(event["REVENUE"])
    best = sorted(found, key=lambda pair: (-sum(found[pair]), pair))[:pairs]
    given = period | ({"pairs": pairs} if pairs > 1 else {})
    assert rows_of("top_country_relationships", **given) == [
        relationship(
            *((id_country, names().get(id_country, id_country)) for id_country in pair),
            revenue=sum(found[pair]),
            sales=len(found[pair]),
        )
        for pair in best
    ]
    assert best, "no sales between countries in the data"


@pytest.mark.parametrize(("first_day", "weeks"), [(None, None), ("2020-12-02", 1), ("2020-09-30", 13)])
def test_repeat_buyer_revenue_is_what_python_adds_up(market, first_day, weeks):
    start = date.fromisoformat(first_day or "2021-01-01")
    middle, end = start + timedelta(weeks=weeks or 1), start + timedelta(weeks=2 * (weeks or 1))
    both = (defaultdict(Decimal), defaultdict(Decimal))
    for event in market:
        if start <= event["DATE_PAYMENT"].date() < end:
            both[event["DATE_PAYMENT"].date() >= middle][event["ID_BUYER"]] += event["REVENUE"]
    buyers = both[0].keys() & both[1].keys()
    first, second = (sum(period[buyer] for buyer in buyers) for period in both)
    given = {"first_day": first_day, "weeks": weeks} if first_day else {}
    assert rows_of("repeat_buyer_revenue", **given) == [
        {
            "buyers": len(buyers),
            "week_1_revenue": first,
            "week_2_revenue": second,
            "change_percent": percent(second - first, first),
        }
    ]
    assert len(buyers) > 5, "hardly any repeat buyers in the data"
