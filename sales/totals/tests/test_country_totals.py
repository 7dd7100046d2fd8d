"""What is sold between countries, day by day: the totals that the reports by country read."""

import datetime
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from sales.ingest.writer import COPY_THRESHOLD, record_plain_sales, record_sales
from sales.models import CountryDailyTotal, CountryDay, CountryJournalEntry, CountryTotal, Sale
from sales.tests.helpers import refusing, sale_event
from sales.totals import country_totals, feedback
from salesengine.tests.servers import waiting_at_most

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "singles"])


def country_sales():
    """The view, added up: {(day, seller, buyer): (number of sales, revenue)}, without the year."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT day, id_seller_country, id_buyer_country, SUM(sales_count), SUM(revenue)
            FROM country_sales GROUP BY 1, 2, 3
            """
        )
        rows = cursor.fetchall()
    return {(f"{day:%m-%d}", seller, buyer): (count, revenue) for day, seller, buyer, count, revenue in rows}


def sold(seller="1", buyer="2", **changes):
    return sale_event(ID_SELLER_COUNTRY=seller, ID_BUYER_COUNTRY=buyer, **changes)


@pytest.fixture(params=[record_sales, record_plain_sales, pytest.param("many", id="many")])
def record(request):
    """Each of the ways that sales are written."""
    if request.param != "many":
        return request.param
    return lambda events: record_sales(events + [sold("9", "9", DATE_PAYMENT="2020-01-01")] * (COPY_THRESHOLD + 1))


@pytest.mark.parametrize("folded", [False, True])
def test_each_sale_is_under_its_day_and_countries(record, folded):
    record([sold(REVENUE="1.10"), sold(REVENUE="2"), sold("2", "1", REVENUE="-4"), sold("2", "2", REVENUE="8")])
    if folded:
        country_totals.fold()

    figures = {key: value for key, value in country_sales().items() if key[0] == "01-07"}
    assert figures == {
        ("01-07", "1", "2"): (2, Decimal("3.10")),
        ("01-07", "2", "1"): (1, Decimal(-4)),
        ("01-07", "2", "2"): (1, Decimal(8)),
    }
    assert CountryJournalEntry.objects.exists() is not folded


@pytest.mark.parametrize("folded", [False, True])
def test_days_end_at_midnight_utc_whatever_the_zone_of_the_session(folded):
    record_sales([sold(DATE_PAYMENT="2021-01-07T23:59:59.999999Z"), sold(DATE_PAYMENT="2021-01-08T01:00:00+01:00")])
    record_sales([sold(DATE_PAYMENT="2021-01-08T23:30:00-01:00")])

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL TimeZone = 'Pacific/Auckland'")
        if folded:
            country_totals.fold()
        assert [day for day, _, _ in sorted(country_sales())] == ["01-07", "01-08", "01-09"]


def test_figures_of_35_digits_are_exact_and_keep_their_scale():
    revenues = [Decimal("999999999999999.10000000000000000001"), Decimal("0.20")]
    record_sales([sold(REVENUE=revenue) for revenue in revenues])
    before = country_sales()
    country_totals.fold()
    assert str(country_sales()["01-07", "1", "2"][1]) == "999999999999999.30000000000000000001"
    assert before == country_sales()


def test_a_duplicate_of_an_event_is_not_counted():
    event = sold() | {"EVENT_ID": "e-1"}
    for _ in range(2):
        record_sales([event, event, sold() | {"EVENT_ID": "e-2"}])

    assert [count for count, _ in country_sales().values()] == [Sale.objects.count()] == [2]
    assert country_totals.verify() == []


@pytest.mark.parametrize("number", [2, COPY_THRESHOLD + 1])
def test_a_batch_that_fails_half_way_leaves_nothing_behind(number):
    with refusing("country_journal", "false"), pytest.raises(DatabaseError):
        record_sales([sold()] * number)
    assert not Sale.objects.exists()

    with refusing("feedback_journal", "false"), pytest.raises(DatabaseError):
        record_sales([sold()] * number)
    assert not CountryJournalEntry.objects.exists()


def test_ids_with_gaps_are_noted_without_the_gaps():
    assert country_totals.id_ranges([7]) == "{[7,7]}"
    assert country_totals.id_ranges([7, 8, 9]) == "{[7,9]}"
    assert country_totals.id_ranges([7, 9]) == "{[7,7],[9,9]}"


def test_writers_keep_the_journal_short(monkeypatch):
    monkeypatch.setattr(country_totals, "FOLD_EVERY", 8)

    waiting = []
    for number in range(50):
        record_sales([sold()] * (number % 3 + 1))
        waiting.append(sum(CountryJournalEntry.objects.values_list("sales_count", flat=True)))

    # Every eighth id brings a fold, which may take two more with it; the next batches come up to the id before, or two.
    assert 3 <= max(waiting) <= 7
    assert country_totals.verify() == []


def test_a_fold_takes_no_more_than_its_share_and_at_least_a_batch(monkeypatch):
    monkeypatch.setattr(country_totals, "FOLD_AT_MOST", 4)
    for number in (1, 2, 3, 5, 1):
        record_sales([sold()] * number)

    assert [country_totals.fold() for _ in range(4)] == [6, 5, 1, 0]


def test_writers_fold_all_of_a_long_journal(monkeypatch):
    monkeypatch.setattr(country_totals, "FOLD_EVERY", 10**9)
    for _ in range(9):
        record_sales([sold()])
    monkeypatch.setattr(country_totals, "FOLD_AT_MOST", 4)
    monkeypatch.setattr(country_totals, "FOLD_EVERY", 1)

    record_sales([sold()])

    assert not CountryJournalEntry.objects.exists()


def test_a_fold_that_fails_does_not_fail_the_sale(monkeypatch, caplog):
    monkeypatch.setattr(country_totals, "FOLD_EVERY", 1)

    with refusing("country_daily_total", "false"):
        record_sales([sold()])

    assert "country_daily_total" in caplog.text
    assert (Sale.objects.count(), CountryJournalEntry.objects.count()) == (1, 1)
    assert country_totals.verify() == []


def test_nobody_waits_for_a_fold():
    record_sales([sold()])
    with transaction.atomic():
        assert country_totals.fold() == 1
        assert elsewhere(without_waiting, country_totals.fold) == 0
        assert elsewhere(without_waiting, feedback.fold) == 0


def test_a_day_of_many_rows_is_merged_and_says_the_same(monkeypatch):
    for _ in range(3):
        record_sales([sold(str(seller), "2", REVENUE=seller) for seller in range(400)])
        record_sales([sold(DATE_PAYMENT="2021-01-08")])
        before = country_sales()
        country_totals.fold()

    assert CountryDailyTotal.objects.filter(day="2021-01-07").count() == 400
    assert CountryDailyTotal.objects.filter(day="2021-01-08").count() == 3
    assert sorted(CountryDay.objects.values_list("row_count", "merged_count")) == [(3, 0), (400, 400)]
    assert country_sales() == before
    assert country_totals.verify() == []


def test_any_reader_sees_whole_committed_batches_whatever_writers_and_folds_do(monkeypatch):
    monkeypatch.setattr(country_totals, "MERGE", country_totals.MERGE.replace("1000", "2"))
    ended, faults = threading.Event(), []

    def write(first):
        rng = random.Random(first)
        for number in range(first, 60, 3):
            # A batch of either size has 300 sales, or one, of revenue that tells which it is.
            events = [sold(str(rng.randrange(3)), REVENUE=0) for _ in range(rng.choice([0, 299]))]
            record_sales([*events, sold(REVENUE=2**number), sold("2", "1", REVENUE=2**number)])

    def fold():
        while not ended.is_set():
            country_totals.fold()

    def read():
        seen = 0
        while not ended.is_set():
            figures = country_sales()
            there, back = (int(figures.get(("01-07", *pair), (0, 0))[1]) for pair in (("1", "2"), ("2", "1")))
            if there != back or seen & ~there:
                faults.append((seen, there, back))
            seen = there

    def read_totals():
        seen = 0
        while not ended.is_set():
            with connection.cursor() as cursor:
                cursor.execute("SELECT sold_revenue, bought_revenue FROM country_figures WHERE id_country = '1'")
                there, back = map(int, cursor.fetchone() or (0, 0))
            if there != back or seen & ~there:
                faults.append((seen, there, back))
            seen = there

    with ThreadPoolExecutor(6) as pool:
        others = [pool.submit(closing(each)) for each in (fold, read, read_totals)]
        writers = [pool.submit(closing(write), first) for first in range(3)]
        try:
            [writer.result() for writer in writers]
        finally:
            ended.set()
        [other.result() for other in others]

    assert faults == []
    assert country_sales()["01-07", "2", "1"] == (20 * 3, 2**60 - 1)
    assert country_totals.verify() == []
    assert country_totals.verify_totals() == []


class TestVerifying:
    @pytest.fixture(autouse=True)
    def sales(self):
        record_sales([sold(REVENUE="1.5"), sold("3", "4")])
        country_totals.fold()
        record_sales([sold(DATE_PAYMENT="2021-01-08")])

    def test_a_wrong_total_is_told(self):
        CountryDailyTotal.objects.filter(id_seller_country="1").update(revenue=2)

        [difference] = country_totals.verify()

        assert (difference.id_seller_country, difference.id_buyer_country) == ("1", "2")
        assert difference.day == datetime.date(2021, 1, 7)
        assert (difference.kept, difference.true) == ((1, Decimal(2)), (1, Decimal("1.5")))

    def test_a_lost_journal_entry_is_told(self):
        CountryJournalEntry.objects.all().delete()
        assert [difference.kept for difference in country_totals.verify()] == [(0, 0)]

    def test_a_total_of_no_sales_is_told(self):
        CountryDailyTotal.objects.create(
            day="2020-01-01", id_seller_country="1", id_buyer_country="2", sales_count=1, revenue=1
        )
        assert [difference.true for difference in country_totals.verify()] == [(0, 0)]

    def test_a_wrong_total_of_a_country_is_told(self):
        CountryTotal.objects.filter(id_country="2").update(bought_revenue=7)

        [difference] = country_totals.verify_totals()

        assert (difference.id_country, difference.side) == ("2", "bought")
        assert difference.kept == (2, Decimal("64.27456"))  # 7 and what is in the journal
        assert difference.true == (2, Decimal("58.77456"))

    def test_a_lost_total_of_a_country_is_told(self):
        CountryTotal.objects.filter(id_country="3").delete()
        [difference] = country_totals.verify_totals()
        assert (difference.side, difference.kept) == ("sold", (0, 0))

    def test_repair_makes_every_figure_right(self):
        CountryDailyTotal.objects.update(revenue=2)
        CountryTotal.objects.update(sold_count=5)
        CountryTotal.objects.create(id_country="9", sold_count=1, sold_revenue=1, bought_count=0, bought_revenue=0)

        country_totals.repair()

        assert country_totals.verify() == []
        assert country_totals.verify_totals() == []
        assert CountryDailyTotal.objects.count() == 3
        assert list(CountryDay.objects.order_by("day").values_list("row_count", "merged_count")) == [(2, 2), (1, 1)]

    def test_a_sale_that_comes_in_during_a_repair_is_counted_once(self, monkeypatch):
        monkeypatch.setattr(country_totals.feedback, "snapshot", snapshot_before_a_sale(feedback.snapshot))

        country_totals.repair()

        assert Sale.objects.count() == 4
        assert country_totals.verify() == []
        assert country_totals.verify_totals() == []

    def test_the_command_tells_a_wrong_total_and_repairs_it(self, capsys):
        CountryDailyTotal.objects.filter(id_seller_country="1").update(revenue=2)

        with pytest.raises(CommandError, match="1 figures differ"):
            call_command("verify_feedback")
        assert capsys.readouterr().out == (
            "country 1 to 2, 2021-01-07: kept 1 sales with revenue 2, but there are 1 with 1.5\n"
        )
        CountryTotal.objects.filter(id_country="4").update(bought_count=3)
        with pytest.raises(CommandError, match="2 figures differ"):
            call_command("verify_feedback")
        assert capsys.readouterr().out.splitlines()[1] == (
            "country 4, bought: kept 3 sales with revenue 57.27456, but there are 1 with 57.27456"
        )

        call_command("verify_feedback", "--repair")


def snapshot_before_a_sale(snapshot):
    @contextmanager
    def replaced():
        with snapshot():
            Sale.objects.exists()  # takes the snapshot
            elsewhere(record_sales, [sold()])
            yield

    return replaced


def without_waiting(function):
    """What `function` gives; it fails if another transaction would have to end first."""
    with waiting_at_most("1s"):
        return function()


def closing(function):
    def run(*arguments):
        try:
            return function(*arguments)
        finally:
            connection.close()

    return run


def elsewhere(function, *arguments):
    """What `function` gives in another thread, on a database connection of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(closing(function), *arguments).result()


def test_migrating_counts_the_sales_that_are_there():
    call_command("migrate", "sales", "0006", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO sales (id_order, id_product, id_buyer, id_seller, id_seller_country, id_buyer_country,
                date_payment, revenue)
            SELECT '1', '1', '1', '1', '1', '2', timestamptz '2021-01-07 23:00+00' + number * interval '1 hour', 0.5
            FROM generate_series(0, 2) AS number
            """
        )
    call_command("migrate", verbosity=0)

    assert country_sales() == {("01-07", "1", "2"): (1, Decimal("0.5")), ("01-08", "1", "2"): (2, Decimal("1.0"))}
    assert country_totals.verify() == []
    assert country_totals.verify_totals() == []
    assert [day.row_count for day in CountryDay.objects.all()] == [1, 1]
