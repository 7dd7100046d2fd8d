"""GET /feedback ranks the categories of the selected sales."""

import datetime
import json
import random
from decimal import Decimal

import pytest
from django.db import connection
from django.db.models import Q
from django.test.utils import CaptureQueriesContext

from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.tests.helpers import sale_event
from sales.totals import folding
from sales.totals.feedback import sum_of_categories
from sales.totals.figures import add_up

pytestmark = pytest.mark.django_db
FIRST = datetime.datetime(2021, 1, 1, tzinfo=datetime.UTC)


def feedback_rows(api, **parameters):
    response = api.get("/feedback", parameters)
    assert response.status_code == 200, response.content
    rows = json.loads(response.content, parse_float=Decimal, parse_int=Decimal)
    return [(row["category"], row["sales_count"], row["total_revenue"]) for row in rows]


def test_without_sales_the_response_is_an_empty_list(api):
    assert feedback_rows(api) == []


def test_the_three_categories_with_the_most_sales_come_first(api):
    for category, number in {"bags": 2, "shoes": 4, "boys": 1, "girls": 3}.items():
        record_sales([sale_event(CATEGORY=category, REVENUE="1.10")] * number)

    assert feedback_rows(api) == [
        ("shoes", 4, Decimal("4.40")),
        ("girls", 3, Decimal("3.30")),
        ("bags", 2, Decimal("2.20")),
    ]


def test_ties_are_ranked_by_revenue_and_then_by_name(api):
    for category, revenue in {"shoes": 1, "girls": 2, "bags": 1, "boys": 1}.items():
        record_sales([sale_event(CATEGORY=category, REVENUE=revenue)])

    assert [category for category, _, _ in feedback_rows(api)] == ["girls", "bags", "boys"]


def test_sales_without_a_category_do_not_count(api):
    record_sales([sale_event(CATEGORY=None)])

    assert feedback_rows(api) == []
    assert feedback_rows(api, start_date="2021-01-07T00:00:01") == []


def test_refunds_are_sales_with_negative_revenue(api):
    record_sales([sale_event(REVENUE=10), sale_event(REVENUE=-12)])

    assert feedback_rows(api) == [("clothing", 2, Decimal(-2))]


def test_the_response_can_be_limited_to_one_category(api):
    record_sales([sale_event(CATEGORY="bags"), sale_event(CATEGORY="design & decoration", REVENUE=3)])

    assert feedback_rows(api, category="design & decoration") == [("design & decoration", 1, Decimal(3))]
    assert feedback_rows(api, category="boys") == []


def test_figures_of_55_digits_are_exact(api):
    big, small = "999999999999999", "0.00000000000000000001"
    record_sales([sale_event(REVENUE=big), sale_event(REVENUE=small)])
    record_sales([sale_event(REVENUE=big)])
    exact = Decimal("1999999999999998.00000000000000000001")

    before = feedback_rows(api)
    folding.fold()

    assert before == feedback_rows(api) == feedback_rows(api, start_date="2021-01-01T12:00") == [("clothing", 3, exact)]


@pytest.mark.parametrize(
    ("period", "revenue"),
    [
        ({}, "11111"),
        ({"start_date": "2021-01-02"}, "1111"),
        ({"end_date": "2021-01-02"}, "11111"),
        ({"end_date": "2021-01-01"}, "10000"),
        ({"start_date": "2021-01-02", "end_date": "2021-01-02"}, "1111"),
        ({"start_date": "2021-01-02T00:00:00", "end_date": "2021-01-02T00:00:00"}, "1000"),
        ({"start_date": "2021-01-02 12:00", "end_date": "2021-01-02T23:59:59.999999"}, "111"),
        ({"start_date": "2021-01-02T12:00:00.000001"}, "11"),
        ({"start_date": "2021-01-02T13:00:00+01:00", "end_date": "2021-01-02T13:00:00+01:00"}, "100"),
        ({"start_date": "2021-01-01T23:59:59.999999", "end_date": "2021-01-02T18:00:00Z"}, "11110"),
        ({"start_date": "2021-01-03"}, None),
        ({"start_date": "0001-01-01", "end_date": "9999-12-31"}, "11111"),
        ({"start_date": "9999-12-31T00:00:01"}, None),
        ({"end_date": "9999-12-31T23:59:59.999999"}, "11111"),
    ],
)
@pytest.mark.parametrize("folded", [True, False])
def test_a_period_includes_both_its_ends(api, period, revenue, folded):
    for moment, amount in {
        "2021-01-01T23:59:59.999999": 10_000,
        "2021-01-02T00:00:00": 1_000,
        "2021-01-02T12:00:00": 100,
        "2021-01-02T18:00:00": 10,
        "2021-01-02T23:59:59.999999": 1,
    }.items():
        record_sales([sale_event(DATE_PAYMENT=moment, REVENUE=amount)])
    if folded:
        folding.fold()

    assert [str(total) for _, _, total in feedback_rows(api, **period)] == ([revenue] if revenue else [])


def test_any_period_agrees_with_the_sum_of_the_sales(api):
    rng = random.Random(7)
    for _ in range(20):
        record_sales([random_sale(rng) for _ in range(20)])
        if rng.random() < 0.3:
            folding.fold()
    sales = list(Sale.objects.all())

    for _ in range(100):
        start, end = sorted(FIRST + random_step(rng) for _ in range(2))
        expected = add_up(
            (sale.category, 1, sale.revenue) for sale in sales if sale.category and start <= sale.date_payment <= end
        )
        top = sorted(expected.items(), key=lambda item: (-item[1][0], -item[1][1], item[0]))[:3]
        rows = feedback_rows(api, start_date=start.isoformat(), end_date=end.isoformat())
        assert rows == [(category, count, revenue) for category, (count, revenue) in top]


@pytest.mark.parametrize("parameters", [{}, {"category": "bags"}, {"start_date": "2021-01-01T12:00"}])
def test_one_statement_without_an_aggregate_reads_the_figures(api, parameters):
    with CaptureQueriesContext(connection) as queries:
        feedback_rows(api, **parameters)

    [statement] = [query["sql"].upper() for query in queries if "SAVEPOINT" not in query["sql"]]
    assert "UNION ALL" in statement
    assert not any(word in statement for word in ("SUM(", "COUNT(", "GROUP BY", "DISTINCT", "OVER "))


def test_figures_of_all_time_do_not_read_each_day():
    record_sales([sale_event(REVENUE=5), sale_event(REVENUE="0.01", CATEGORY=None)])
    folding.fold_all()

    with CaptureQueriesContext(connection) as captured:
        figures = sum_of_categories(None, None, Q())

    assert figures == (2, Decimal("5.01"))
    assert "feedback_daily_total" not in captured[0]["sql"]


@pytest.mark.parametrize(
    ("parameters", "name", "words"),
    [
        ({"category": "toys"}, "category", "must be one of clothing, shoes"),
        ({"category": ""}, "category", "must be one of clothing, shoes"),
        ({"start_date": "yesterday"}, "start_date", "must be an ISO 8601 date and time"),
        ({"start_date": "2021-02-30"}, "start_date", "day is out of range"),
        ({"end_date": "2021-01-01T00:00:00-99:00"}, "end_date", "must be an ISO 8601 date and time"),
        ({"end_date": "0001-01-01T00:00:00+05:00"}, "end_date", "years 1 to 9999"),
        ({"start_date": "2021-01-02", "end_date": "2021-01-01"}, "end_date", "must not be before start_date"),
        ({"start": "2021-01-02"}, "start", "is unknown; the parameters are category, start_date, end_date"),
        ({"category": ["bags", "shoes"]}, "category", "must be given once"),
        ({"category": "a\0b"}, "category", "must be one of"),
        ({"format": "xml"}, "format", "is unknown"),
    ],
)
def test_the_problem_names_the_invalid_parameter(api, parameters, name, words):
    response = api.get("/feedback", parameters)

    assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json")
    [error] = response.json()["errors"]
    assert error["parameter"] == name
    assert words in error["detail"]


def random_sale(rng):
    return sale_event(
        CATEGORY=rng.choice([None, "bags", "shoes", "boys", "girls"]),
        DATE_PAYMENT=FIRST + random_step(rng),
        REVENUE=rng.randint(-100, 10_000) / 100,
    )


def random_step(rng):
    """Return up to six days, often whole days, noons or one microsecond before or after."""
    step = datetime.timedelta(days=rng.randrange(6))
    if rng.random() < 0.5:
        step += datetime.timedelta(hours=rng.choice([0, 12]), microseconds=rng.choice([-1, 0, 1]))
    else:
        step += datetime.timedelta(seconds=rng.randrange(86_400))
    return max(step, datetime.timedelta())
