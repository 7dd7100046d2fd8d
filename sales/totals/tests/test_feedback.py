"""GET /feedback and the figures behind it."""

import datetime
import json
import random
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from sales.ingest.writer import COPY_THRESHOLD, record_sales
from sales.models import Category, DailyTotal, JournalEntry, Sale, Total
from sales.tests.helpers import refusing, sale_event
from sales.totals import feedback
from sales.totals.feedback import FeedbackQuery

UTC = datetime.UTC
FIRST = datetime.datetime(2021, 1, 1, tzinfo=UTC)


def answer(api, **parameters):
    response = api.get("/feedback", parameters)
    assert response.status_code == 200, response.content
    rows = json.loads(response.content, parse_float=Decimal, parse_int=Decimal)
    return [(row["category"], row["sales_count"], row["total_revenue"]) for row in rows]


@pytest.mark.django_db
class TestAnswer:
    def test_nothing_sold_is_an_empty_list(self, api):
        assert answer(api) == []

    def test_the_three_categories_with_the_most_sales_come_first(self, api):
        for category, number in {"bags": 2, "shoes": 4, "boys": 1, "girls": 3}.items():
            record_sales([sale_event(CATEGORY=category, REVENUE="1.10")] * number)

        assert answer(api) == [
            ("shoes", 4, Decimal("4.40")),
            ("girls", 3, Decimal("3.30")),
            ("bags", 2, Decimal("2.20")),
        ]

    def test_ties_go_by_revenue_and_then_by_name(self, api):
        for category, revenue in {"shoes": 1, "girls": 2, "bags": 1, "boys": 1}.items():
            record_sales([sale_event(CATEGORY=category, REVENUE=revenue)])

        assert [category for category, _, _ in answer(api)] == ["girls", "bags", "boys"]

    def test_sales_without_a_category_are_in_none(self, api):
        record_sales([sale_event(CATEGORY=None)])

        assert answer(api) == []
        assert answer(api, start_date="2021-01-07T00:00:01") == []

    def test_refunds_are_sales_with_negative_revenue(self, api):
        record_sales([sale_event(REVENUE=10), sale_event(REVENUE=-12)])

        assert answer(api) == [("clothing", 2, Decimal(-2))]

    def test_one_category_can_be_asked_for(self, api):
        record_sales([sale_event(CATEGORY="bags"), sale_event(CATEGORY="design & decoration", REVENUE=3)])

        assert answer(api, category="design & decoration") == [("design & decoration", 1, Decimal(3))]
        assert answer(api, category="boys") == []

    def test_figures_of_55_digits_are_exact(self, api):
        big, small = "999999999999999", "0.00000000000000000001"
        record_sales([sale_event(REVENUE=big), sale_event(REVENUE=small)])
        record_sales([sale_event(REVENUE=big)])
        exact = Decimal("1999999999999998.00000000000000000001")

        before = answer(api)
        feedback.fold()

        assert before == answer(api) == answer(api, start_date="2021-01-01T12:00") == [("clothing", 3, exact)]

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
    def test_a_period_includes_both_its_ends(self, api, period, revenue, folded):
        for moment, amount in {
            "2021-01-01T23:59:59.999999": 10_000,
            "2021-01-02T00:00:00": 1_000,
            "2021-01-02T12:00:00": 100,
            "2021-01-02T18:00:00": 10,
            "2021-01-02T23:59:59.999999": 1,
        }.items():
            record_sales([sale_event(DATE_PAYMENT=moment, REVENUE=amount)])
        if folded:
            feedback.fold()

        assert [str(total) for _, _, total in answer(api, **period)] == ([revenue] if revenue else [])

    def test_any_period_agrees_with_adding_up_the_sales(self, api):
        rng = random.Random(7)
        for _ in range(20):
            record_sales([random_sale(rng) for _ in range(20)])
            if rng.random() < 0.3:
                feedback.fold()
        sales = list(Sale.objects.all())

        for _ in range(100):
            start, end = sorted(FIRST + random_step(rng) for _ in range(2))
            wanted = feedback.add_up(
                (sale.category, 1, sale.revenue)
                for sale in sales
                if sale.category and start <= sale.date_payment <= end
            )
            top = sorted(wanted.items(), key=lambda item: (-item[1][0], -item[1][1], item[0]))[:3]
            given_back = answer(api, start_date=start.isoformat(), end_date=end.isoformat())
            assert given_back == [(category, count, revenue) for category, (count, revenue) in top]

    @pytest.mark.parametrize("parameters", [{}, {"category": "bags"}, {"start_date": "2021-01-01T12:00"}])
    def test_it_is_one_statement_without_an_aggregate(self, api, parameters):
        with CaptureQueriesContext(connection) as queries:
            answer(api, **parameters)

        [statement] = [query["sql"].upper() for query in queries if "SAVEPOINT" not in query["sql"]]
        assert "UNION ALL" in statement
        assert not any(word in statement for word in ("SUM(", "COUNT(", "GROUP BY", "DISTINCT", "OVER "))

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
    def test_a_parameter_that_makes_no_sense_is_named(self, api, parameters, name, words):
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
    """Up to six days; often whole days, noons or a microsecond beside them."""
    step = datetime.timedelta(days=rng.randrange(6))
    if rng.random() < 0.5:
        step += datetime.timedelta(hours=rng.choice([0, 12]), microseconds=rng.choice([-1, 0, 1]))
    else:
        step += datetime.timedelta(seconds=rng.randrange(86_400))
    return max(step, datetime.timedelta())


moments = st.datetimes(timezones=st.just(UTC)) | st.dates().map(feedback.midnight)


@given(st.none() | moments, st.none() | moments, moments)
def test_a_split_period_holds_each_moment_exactly_once(start, stop, moment):
    if start is not None and stop is not None and start >= stop:
        start, stop = stop, start + datetime.timedelta.resolution
    days, edges = feedback.split_period(start, stop)

    held = [within(moment, *edge) for edge in edges] + ([within(moment.date(), *days)] if days else [])

    assert sum(held) == within(moment, start, stop)
    assert all(feedback.midnight(day) >= start for day in (days or ())[:1] if day and start)


def within(value, start, stop):
    return (start is None or start <= value) and (stop is None or value < stop)


@pytest.mark.django_db
class TestFolding:
    def test_it_moves_the_journal_into_the_totals(self, api):
        record_sales(
            [sale_event(REVENUE=1), sale_event(REVENUE=2, DATE_PAYMENT="2021-01-08"), sale_event(CATEGORY=None)]
        )
        before = answer(api)

        assert feedback.fold() == 3

        assert not JournalEntry.objects.exists()
        assert {(total.category, total.sales_count, total.revenue) for total in Total.objects.all()} == {
            ("clothing", 2, Decimal(3)),
            (None, 1, Decimal("57.27456")),
        }
        assert DailyTotal.objects.count() == 3
        assert answer(api) == before

    def test_it_adds_to_what_is_there(self):
        for category in ("clothing", None):
            for _ in range(2):
                record_sales([sale_event(CATEGORY=category, REVENUE="0.1")])
                feedback.fold()

        assert {(total.category, total.sales_count, total.revenue) for total in DailyTotal.objects.all()} == {
            ("clothing", 2, Decimal("0.2")),
            (None, 2, Decimal("0.2")),
        }

    def test_an_empty_journal_is_nothing_to_do(self):
        assert feedback.fold() == 0

    def test_it_takes_no_more_than_its_share_in_one_go(self, monkeypatch):
        monkeypatch.setattr(feedback, "FOLD_AT_MOST", 2)
        for _ in range(3):
            record_sales([sale_event()])

        assert [feedback.fold(), feedback.fold(), feedback.fold()] == [2, 1, 0]


@pytest.mark.django_db(transaction=True)
class TestWriters:
    def test_they_keep_the_journal_short(self, monkeypatch):
        monkeypatch.setattr(feedback, "FOLD_EVERY", 8)

        lengths = []
        for _ in range(50):
            record_sales([sale_event()])
            lengths.append(JournalEntry.objects.count())

        assert max(lengths) <= 8
        assert feedback.verify() == []

    def test_they_fold_a_batch_of_many_days_at_once(self, monkeypatch):
        monkeypatch.setattr(feedback, "FOLD_AT_MOST", 100)

        days = [sale_event(DATE_PAYMENT=FIRST + datetime.timedelta(days=number)) for number in range(450)]
        record_sales(days)

        assert JournalEntry.objects.count() < 100
        assert feedback.verify() == []

    @pytest.mark.django_db(transaction=True, databases=["default", "singles"])
    def test_a_fold_that_fails_does_not_fail_the_sale(self, monkeypatch, api, event, caplog):
        def fail(entry_ids):
            raise DatabaseError("no fold today")

        monkeypatch.setattr(feedback, "fold_if_due", fail)

        response = api.post("/ingest", event, format="json")

        assert response.status_code == 201
        assert "no fold today" in caplog.text
        assert feedback.top_categories(FeedbackQuery())[0].sales_count == 1

    @pytest.mark.parametrize("number", [2, COPY_THRESHOLD + 1])
    def test_a_batch_that_fails_half_way_leaves_nothing_behind(self, number):
        with refusing("feedback_journal", "false"), pytest.raises(DatabaseError):
            record_sales([sale_event()] * number)

        assert not Sale.objects.exists()

    @pytest.mark.parametrize("number", [5, COPY_THRESHOLD + 1])
    def test_sales_get_their_ids_in_order(self, number):
        ids = record_sales([sale_event(ID_ORDER=str(place)) for place in range(number)]).ids

        orders = dict(Sale.objects.values_list("id", "id_order"))
        assert [orders[new_id] for new_id in ids] == [str(place) for place in range(number)]


@pytest.mark.django_db(transaction=True)
class TestVerifying:
    @pytest.fixture(autouse=True)
    def sales(self, monkeypatch):
        monkeypatch.setattr(feedback, "FOLD_EVERY", 10**9)  # the last sale stays in the journal
        record_sales([sale_event(CATEGORY=category) for category in [*Category.values, None]])
        feedback.fold()
        record_sales([sale_event(DATE_PAYMENT="2021-01-08")])

    def test_right_figures_have_no_differences(self):
        assert feedback.verify() == []

    def test_a_sale_that_comes_in_meanwhile_is_no_difference(self, monkeypatch):
        read_sales = feedback._every_sale

        def read_sales_after_another_came_in(advance):
            elsewhere(record_sales, [sale_event()])
            return read_sales(advance)

        monkeypatch.setattr(feedback, "_every_sale", read_sales_after_another_came_in)

        assert feedback.verify() == []

    def test_a_wrong_total_is_told(self):
        Total.objects.filter(category="bags").update(sales_count=2)

        [difference] = feedback.verify()

        assert (difference.category, difference.day) == ("bags", None)
        assert (difference.kept, difference.true) == ((2, Decimal("57.27456")), (1, Decimal("57.27456")))

    def test_a_wrong_daily_total_is_told(self):
        DailyTotal.objects.filter(category=None).update(revenue=Decimal("57.27455"))

        [difference] = feedback.verify()

        assert (difference.category, difference.day) == (None, datetime.date(2021, 1, 7))

    def test_a_lost_journal_entry_is_told(self):
        JournalEntry.objects.all().delete()

        assert [difference.day for difference in feedback.verify()] == [None, datetime.date(2021, 1, 8)]

    def test_a_figure_for_no_sales_at_all_is_told(self):
        DailyTotal.objects.create(category="bags", day=datetime.date(2020, 1, 1), sales_count=1, revenue=1)

        assert [difference.true for difference in feedback.verify()] == [(0, Decimal(0))]

    def test_repair_makes_every_figure_right(self):
        Total.objects.all().delete()
        DailyTotal.objects.update(revenue=1)

        feedback.repair()

        assert feedback.verify() == []
        assert not JournalEntry.objects.exists()

    def test_a_sale_that_comes_in_during_a_repair_is_counted_once(self):
        Total.objects.all().delete()

        feedback.repair(advance=lambda sales: elsewhere(record_sales, [sale_event(CATEGORY="bags")] * 10))

        assert feedback.verify() == []
        assert feedback.top_categories(FeedbackQuery("bags"))[0].sales_count == 11

    def test_nobody_folds_during_a_repair(self):
        folded = []

        feedback.repair(advance=lambda sales: folded.append(elsewhere(feedback.fold)))

        assert folded == [0]


def elsewhere(function, *arguments):
    """What `function` gives in another thread, on a database connection of its own."""

    def run():
        try:
            return function(*arguments)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()
