"""Sales by category and country in a period and the previous one."""

import datetime
from collections import Counter, defaultdict
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sales.demo import generate_events
from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.tests.helpers import sale_event
from sales.totals import feedback, folding
from sales.totals.country_totals import top_countries
from sales.totals.feedback import FeedbackQuery
from sales.totals.overview import CategorySales, Period, PeriodFigures, category_sales, change_in_percent, latest_sales
from sales.totals.periods import midnight

pytestmark = pytest.mark.django_db
DAY = datetime.date(2021, 6, 30)
MONTH = Period.ending(DAY, 30)


def sold(day, category="bags", revenue=1, **changes):
    return sale_event(DATE_PAYMENT=day, CATEGORY=category, REVENUE=revenue, **changes)


def test_a_period_has_its_days_and_a_previous_period_of_the_same_length():
    week = Period.ending(DAY, 7)

    assert (week.first, len(week.days), week.days[-1]) == (datetime.date(2021, 6, 24), 7, DAY)
    assert week.previous == Period(datetime.date(2021, 6, 17), datetime.date(2021, 6, 23))


@pytest.mark.parametrize("folded", [False, True])
def test_days_end_at_midnight_utc(folded):
    record_sales(
        [
            sold("2021-06-29T23:59:59.999999", revenue=1),
            sold("2021-06-30T00:00:00", revenue=10),
            sold("2021-06-30T23:59:59.999999", revenue=100),
            sold("2021-07-01T01:00:00+02:00", revenue=1_000),
            sold("2021-07-01T00:00:00", revenue=10_000),
        ]
    )
    if folded:
        folding.fold()
    figures = category_sales(Period(DAY - datetime.timedelta(days=5), DAY))

    assert figures.total(Period(DAY, DAY)) == (3, Decimal(1_110))
    assert figures.total(Period(DAY, DAY).previous) == (1, Decimal(1))
    assert figures.total(Period.ending(DAY, 5)) == (4, Decimal(1_111))
    assert sum(count for count, _ in figures.overall.values()) == 5


def test_totals_and_unfolded_entries_are_added_up():
    record_sales([sold("2021-06-30", revenue="0.1"), sold("2021-05-01")])
    folding.fold()
    record_sales([sold("2021-06-30", revenue="0.2"), sold("2021-06-30", None, 5)])
    figures = category_sales(MONTH)

    assert figures.daily == {("bags", DAY): (2, Decimal("0.3")), (None, DAY): (1, Decimal(5))}
    assert figures.overall == {"bags": (3, Decimal("1.3")), None: (1, Decimal(5))}
    assert figures.received_at == Sale.objects.latest("received_at").received_at


def test_refunds_reduce_the_revenue():
    record_sales([sold("2021-06-30", revenue=10), sold("2021-06-30", revenue=-12)])

    assert category_sales(MONTH).total(MONTH) == (2, Decimal(-2))


def test_without_sales_all_figures_are_empty():
    figures = category_sales(MONTH)

    assert figures == CategorySales({}, {}, None)
    assert (figures.total(MONTH), figures.categories(MONTH), figures.top(MONTH)) == ((0, 0), [], [])


def test_categories_are_those_with_sales_in_the_period_and_none_is_last():
    record_sales(
        [sold("2021-06-30", None), sold("2021-06-30", "shoes"), sold("2021-06-01"), sold("2021-05-31", "boys")]
    )

    assert category_sales(Period.ending(DAY, 60)).categories(MONTH) == ["bags", "shoes", None]


def test_the_top_three_are_the_same_as_in_feedback():
    numbers = {"bags": 2, "shoes": 4, "boys": 1, "girls": 4, None: 9}
    record_sales([sold("2021-06-30", category) for category, number in numbers.items() for _ in range(number)])
    record_sales([sold("2021-06-29", "girls")] * 9 + [sold("2021-06-01", "shoes")])

    figures = category_sales(MONTH)
    for period in (MONTH, Period.ending(DAY, 1)):
        query = FeedbackQuery(start=midnight(period.first), stop=midnight(period.last + datetime.timedelta(1)))
        assert figures.top(period) == feedback.top_categories(query)


@pytest.mark.parametrize(
    ("sales", "revenue", "average"),
    [(3, "1", "0.33"), (3, "2", "0.67"), (2, "0.01", "0.01"), (2, "-0.01", "-0.01"), (0, "0", None)],
)
def test_the_average_is_rounded_to_the_cent(sales, revenue, average):
    assert PeriodFigures(sales, Decimal(revenue)).average == (average and Decimal(average))


def test_the_average_of_large_revenues_is_exact_to_the_cent():
    assert str(PeriodFigures(2, Decimal("9" * 40 + "." + "9" * 20)).average) == "5" + "0" * 39 + ".00"


@pytest.mark.parametrize(
    ("now", "before", "percent"),
    [
        *(("250", "200", "25.0"), ("0", "8", "-100.0"), ("1", "3", "-66.7"), ("-1", "2", "-150.0"), ("2", "2", "0.0")),
        *(("1", "0", None), ("1", "-5", None)),
    ],
)
def test_a_change_in_percent_needs_a_positive_base(now, before, percent):
    assert change_in_percent(Decimal(now), Decimal(before)) == (percent and Decimal(percent))


def test_the_latest_sales_are_the_newest_payments_up_to_the_day():
    days = ("2021-06-30T23:59:59.999999", "2021-07-01", "2021-06-01", "2021-06-30T10:00")
    record_sales([sold(day, ID_ORDER=day) for day in days])

    assert [sale.id_order for sale in latest_sales(DAY, 2)] == [days[0], days[3]]
    assert [sale.id_order for sale in latest_sales(None, 1)] == [days[1]]
    assert len(latest_sales(datetime.date.max, 10)) == 4


@pytest.mark.parametrize("folded", [False, True])
def test_top_countries_have_the_most_revenue_in_the_period(folded):
    trade = [("fr", "it", 5), ("fr", "de", 4), ("it", "it", 7), ("it", "fr", -1), ("de", "fr", "1.5")]
    record_sales(
        [sold("2021-06-01", None, revenue, ID_SELLER_COUNTRY=a, ID_BUYER_COUNTRY=b) for a, b, revenue in trade]
        + [sold(day, ID_SELLER_COUNTRY="x", ID_BUYER_COUNTRY="y", revenue=99) for day in ("2021-05-31", "2021-07-01")]
    )
    if folded:
        folding.fold()
    top = top_countries(MONTH.first, MONTH.last, 2)

    assert [(row.seller, row.sales_count, row.revenue) for row in top.sellers] == [("fr", 2, 9), ("it", 2, 6)]
    assert [(row.buyer, row.sales_count, row.revenue) for row in top.buyers] == [("it", 2, 12), ("de", 1, 4)]
    assert [(row.seller, row.buyer, row.revenue) for row in top.pairs] == [("it", "it", 7), ("fr", "it", 5)]


def test_ties_of_countries_are_ranked_by_sales_and_then_by_id():
    record_sales([sold("2021-06-01", revenue=1, ID_SELLER_COUNTRY=country) for country in "cba"])
    record_sales([sold("2021-06-01", revenue=Decimal("0.5"), ID_SELLER_COUNTRY="d")] * 2)

    assert [row.seller for row in top_countries(MONTH.first, MONTH.last, 3).sellers] == ["d", "a", "b"]


@pytest.mark.parametrize("until", [DAY, datetime.date(2021, 2, 3), datetime.date(2020, 7, 2)])
def test_the_figures_of_demo_sales_agree_with_the_sum_of_the_events(until):
    events = list(generate_events(sales=5_000, seed=3))
    for start in range(0, 5_000, 1_000):
        record_sales(events[start : start + 1_000])
        if start == 2_000:
            folding.fold()
            folding.fold()
    figures, top = category_sales(Period.ending(until, 60)), top_countries(until - datetime.timedelta(29), until, 5)

    for days in (1, 7, 30):
        for period in (Period.ending(until, days), Period.ending(until, days).previous):
            paid = [event for event in events if period.first <= event["DATE_PAYMENT"].date() <= period.last]
            assert figures.total(period) == (len(paid), sum(event["REVENUE"] for event in paid))
    month = [event for event in events if 0 <= (until - event["DATE_PAYMENT"].date()).days < 30]
    daily = Counter((event["CATEGORY"], event["DATE_PAYMENT"].date()) for event in month)
    in_month = {key: count for key, (count, _) in figures.daily.items() if key[1] > until - datetime.timedelta(30)}
    assert in_month == daily
    pairs = defaultdict(Decimal)
    for event in month:
        pairs[event["ID_SELLER_COUNTRY"], event["ID_BUYER_COUNTRY"]] += event["REVENUE"]
    assert {(row.seller, row.buyer): row.revenue for row in top.pairs}.items() <= pairs.items()
    assert [row.revenue for row in top.pairs] == sorted(pairs.values(), reverse=True)[:5]
    query = FeedbackQuery(start=midnight(until - datetime.timedelta(29)), stop=midnight(until + datetime.timedelta(1)))
    assert feedback.top_categories(query) == figures.top(Period.ending(until, 30))


def test_one_statement_without_an_aggregate_reads_the_figures():
    with CaptureQueriesContext(connection) as queries:
        category_sales(MONTH)

    [statement] = [query["sql"].upper() for query in queries]
    assert statement.count("UNION ALL") == 2
    assert not any(word in statement for word in ("SUM(", "COUNT(", "GROUP BY", '"SALES"'))
