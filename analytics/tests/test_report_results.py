"""What the three reports say: hand-made cases for their edges, and invented markets added up again in Python."""

from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from itertools import count

import pytest

from analytics.reports import find_report
from analytics.runner import run
from countries.models import Country
from sales.demo import countries, generate_events
from sales.services import record_sales

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

WEEK_1 = datetime(2021, 1, 3, 12, tzinfo=UTC)
WEEK_2 = datetime(2021, 1, 10, 12, tzinfo=UTC)
CLOSE = Fraction(1, 10**9)  # how far the sum of all shares may be from 100
ids = map(str, count(1))


def sale(revenue, *, seller="170", buyer="170", buyer_id="1", paid=WEEK_1):
    """An event with what matters to the reports; `seller` and `buyer` are countries."""
    return {
        "ID_ORDER": next(ids),
        "ID_PRODUCT": "1",
        "ID_BUYER": buyer_id,
        "ID_SELLER": "1",
        "ID_SELLER_COUNTRY": seller,
        "ID_BUYER_COUNTRY": buyer,
        "DATE_PAYMENT": paid,
        "BRAND": None,
        "CATEGORY": None,
        "REVENUE": Decimal(revenue),
    }


def rows_of(name):
    with run(find_report(name)) as result:
        names = [column.name for column in result.columns]
        return [dict(zip(names, row, strict=True)) for row in result.rows]


def name_countries(**names):
    Country.objects.bulk_create(
        Country(id_country=id_country.removeprefix("_"), country_name=name) for id_country, name in names.items()
    )


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


@pytest.fixture(params=[1, 2, 3])
def market(request):
    """The events of an invented market, stored."""
    events = list(generate_events(sales=4_000, seed=request.param))
    Country.objects.bulk_create(countries())
    record_sales(events)
    return events


def names():
    return dict(Country.objects.values_list("id_country", "country_name"))


def assert_close(number, expected):
    assert abs(Fraction(number) - expected) <= Fraction(1, 10**12)


def test_country_contribution_is_what_python_adds_up(market):
    revenue, items = defaultdict(Decimal), defaultdict(int)
    for event in market:
        revenue[event["ID_SELLER_COUNTRY"]] += event["REVENUE"]
        items[event["ID_SELLER_COUNTRY"]] += 1
    ranking = sorted(revenue, key=lambda id_country: (-revenue[id_country], id_country))
    rows = rows_of("country_contribution")
    assert [(row["id_country"], row["country_name"], row["revenue"], row["items"]) for row in rows] == [
        (id_country, names().get(id_country, id_country), revenue[id_country], items[id_country])
        for id_country in ranking
    ]
    for row in rows:
        share = Fraction(revenue[row["id_country"]]) / Fraction(sum(revenue.values())) * 100
        assert_close(row["revenue_percent"], share)
        assert_close(row["items_percent"], Fraction(100 * items[row["id_country"]], len(market)))
    assert any(row["id_country"] == row["country_name"] for row in rows), "no country without a name in the data"
    assert abs(sum(Fraction(row["revenue_percent"]) for row in rows) - 100) <= CLOSE
    assert abs(sum(Fraction(row["items_percent"]) for row in rows) - 100) <= CLOSE


def test_top_country_relationships_is_what_python_adds_up(market):
    pairs = defaultdict(list)
    for event in market:
        pair = frozenset((event["ID_SELLER_COUNTRY"], event["ID_BUYER_COUNTRY"]))
        if len(pair) == 2:
            pairs[pair].append(event["REVENUE"])
    best = min(pairs, key=lambda pair: (-sum(pairs[pair]), sorted(pair)))
    both = [(id_country, names().get(id_country, id_country)) for id_country in sorted(best)]
    assert rows_of("top_country_relationships") == [
        relationship(*both, revenue=sum(pairs[best]), sales=len(pairs[best]))
    ]


def test_repeat_buyer_revenue_is_what_python_adds_up(market):
    weeks = {1: defaultdict(Decimal), 2: defaultdict(Decimal)}
    for event in market:
        paid = event["DATE_PAYMENT"]
        if (paid.year, paid.month) == (2021, 1) and paid.day <= 14:
            weeks[1 if paid.day <= 7 else 2][event["ID_BUYER"]] += event["REVENUE"]
    buyers = weeks[1].keys() & weeks[2].keys()
    first, second = (sum(weeks[week][buyer] for buyer in buyers) for week in (1, 2))
    (row,) = rows_of("repeat_buyer_revenue")
    assert (row["buyers"], row["week_1_revenue"], row["week_2_revenue"]) == (len(buyers), first, second)
    assert_close(row["change_percent"], (Fraction(second) - Fraction(first)) / Fraction(first) * 100)
    assert len(buyers) > 5, "hardly any repeat buyers in the data"
