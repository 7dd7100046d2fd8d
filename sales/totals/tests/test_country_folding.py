"""Writers fold the sales between countries into totals, and readers see every committed sale once."""

import random
import threading
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import DatabaseError, OperationalError, connection, transaction

from sales.ingest.writer import COPY_THRESHOLD, record_sales
from sales.models import CountryDailyTotal, CountryDay, Sale
from sales.tests.helpers import refusing
from sales.totals import folding, ledger, verification
from sales.totals.tests.helpers import country_sales, trade, unfolded
from sales.totals.tests.threads import in_another_thread, together
from salesengine.tests.servers import waiting_at_most

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "singles"])


@pytest.fixture(autouse=True)
def only_tests_fold(monkeypatch):
    """Keep writers from folding, whatever ids their sales get. Tests of the writers' folds set the interval again."""
    monkeypatch.setattr(folding, "FOLD_INTERVAL", 10**9)
    monkeypatch.setattr(folding, "SALES_INTERVAL", 10**9)
    monkeypatch.setattr(folding.making, "is_due", lambda days: False)


@pytest.fixture(params=[record_sales, pytest.param("many", id="many")])
def record(request):
    """Return each function that writes sales."""
    if request.param != "many":
        return request.param
    return lambda events: record_sales(events + [trade("9", "9", DATE_PAYMENT="2020-01-01")] * (COPY_THRESHOLD + 1))


def test_the_sales_of_the_ledger_are_those_that_are_not_folded():
    """A cluster does not pass a condition on to the view, so a view of all entries would read all sales."""
    record_sales([trade("1", "2")] * 3)
    folding.fold()
    record_sales([trade("1", "2")])

    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM ledger_sales")
        assert cursor.fetchone() == (1,)


@pytest.mark.parametrize("folded", [False, True])
def test_each_sale_counts_for_its_day_and_countries(record, folded):
    record(
        [
            trade(REVENUE="1.10"),
            trade(REVENUE="2"),
            trade("2", "1", REVENUE="-4"),
            trade("2", "2", REVENUE="8"),
        ]
    )
    if folded:
        folding.fold()

    figures = {key: value for key, value in country_sales().items() if key[0] == "01-07"}
    assert figures == {
        ("01-07", "1", "2"): (2, Decimal("3.10")),
        ("01-07", "2", "1"): (1, Decimal(-4)),
        ("01-07", "2", "2"): (1, Decimal(8)),
    }
    assert unfolded().exists() is not folded


@pytest.mark.parametrize("folded", [False, True])
def test_days_end_at_midnight_utc_in_any_time_zone(folded):
    record_sales(
        [
            trade(DATE_PAYMENT="2021-01-07T23:59:59.999999Z"),
            trade(DATE_PAYMENT="2021-01-08T01:00:00+01:00"),
        ]
    )
    record_sales([trade(DATE_PAYMENT="2021-01-08T23:30:00-01:00")])

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL TimeZone = 'Pacific/Auckland'")
        if folded:
            folding.fold()
        assert [day for day, _, _ in sorted(country_sales())] == ["01-07", "01-08", "01-09"]


def test_figures_of_35_digits_are_exact():
    revenues = [Decimal("999999999999999.10000000000000000001"), Decimal("0.20")]
    record_sales([trade(REVENUE=revenue) for revenue in revenues])
    before = country_sales()
    folding.fold()
    assert str(country_sales()["01-07", "1", "2"][1]) == "999999999999999.30000000000000000001"
    assert before == country_sales()


def test_a_duplicate_is_not_counted():
    event = trade() | {"EVENT_ID": "e-1"}
    for _ in range(2):
        record_sales([event, event, trade() | {"EVENT_ID": "e-2"}])

    assert [count for count, _ in country_sales().values()] == [Sale.objects.count()] == [2]
    assert verification.verify() == []


@pytest.mark.parametrize("number", [2, COPY_THRESHOLD + 1])
def test_a_failed_batch_stores_nothing(number):
    with refusing("ledger", "false"), pytest.raises(DatabaseError):
        record_sales([trade()] * number)
    assert not Sale.objects.exists()

    with refusing("sales", "false"), pytest.raises(DatabaseError):
        record_sales([trade()] * number)
    assert not unfolded().exists()


def test_id_ranges_leave_out_gaps():
    assert ledger.id_ranges([]) == "{}"
    assert ledger.id_ranges([7]) == "{[7,7]}"
    assert ledger.id_ranges([7, 8, 9]) == "{[7,9]}"
    assert ledger.id_ranges([7, 9]) == "{[7,7],[9,9]}"


def test_writers_keep_the_unfolded_sales_few(monkeypatch):
    monkeypatch.setattr(folding, "SALES_INTERVAL", 8)

    waiting = []
    for number in range(50):
        record_sales([trade()] * (number % 3 + 1))
        waiting.append(sum(unfolded().values_list("accepted", flat=True)))

    # Every eighth id starts a fold, which may include two more sales. At most seven sales wait for the next fold.
    assert 3 <= max(waiting) <= 7
    assert verification.verify() == []


def test_a_fold_takes_whole_batches_until_its_limit_is_reached(monkeypatch):
    monkeypatch.setattr(folding, "MAX_SALES", 4)
    for number in (1, 2, 3, 5, 1):
        record_sales([trade()] * number)

    assert [folding.fold() for _ in range(4)] == [(3, True), (1, True), (1, False), (0, False)]


def test_writers_fold_a_long_backlog_completely(monkeypatch):
    for _ in range(9):
        record_sales([trade()])
    monkeypatch.setattr(folding, "MAX_SALES", 4)
    monkeypatch.setattr(folding, "FOLD_INTERVAL", 1)

    record_sales([trade()])

    assert not unfolded().exists()


def test_a_fold_that_fails_does_not_fail_the_sale(monkeypatch, caplog):
    monkeypatch.setattr(folding, "FOLD_INTERVAL", 1)

    with refusing("country_daily_total", "false"):
        record_sales([trade()])

    assert "country_daily_total" in caplog.text
    assert (Sale.objects.count(), unfolded().count()) == (1, 1)
    assert verification.verify() == []


def test_a_second_fold_does_not_wait():
    record_sales([trade()])
    with transaction.atomic():
        assert folding.fold().entries == 1
        assert in_another_thread(without_waiting, folding.fold).entries == 0


def test_a_day_of_many_rows_is_merged_with_the_same_sums():
    for _ in range(3):
        record_sales([trade(str(seller), "2", REVENUE=seller) for seller in range(400)])
        record_sales([trade(DATE_PAYMENT="2021-01-08")])
        before = country_sales()
        folding.fold()

    assert CountryDailyTotal.objects.filter(day="2021-01-07").count() == 400
    assert CountryDailyTotal.objects.filter(day="2021-01-08").count() == 3
    assert sorted(CountryDay.objects.values_list("row_count", "merged_count")) == [(3, 0), (400, 400)]
    assert country_sales() == before
    assert verification.verify() == []


def test_a_fold_runs_no_merge_if_no_day_has_many_rows(monkeypatch):
    monkeypatch.setattr(folding, "MERGE", "not SQL")
    record_sales([trade()])

    assert folding.fold().entries == 1


def test_a_merge_that_reaches_its_time_limit_does_not_undo_the_fold(monkeypatch):
    monkeypatch.setattr(folding, "DAYS_TO_MERGE", folding.DAYS_TO_MERGE.replace("1000", "0"))
    monkeypatch.setattr(folding, "MERGE", "SET LOCAL statement_timeout = 50; SELECT pg_sleep(10)")
    record_sales([trade()])

    with pytest.raises(OperationalError, match="statement timeout"):
        folding.fold()

    assert not unfolded().exists()
    assert verification.verify() == []


def test_readers_see_whole_committed_batches_during_writes_and_folds(monkeypatch):
    monkeypatch.setattr(folding, "DAYS_TO_MERGE", folding.DAYS_TO_MERGE.replace("1000", "2"))
    ended, faults = threading.Event(), []

    def write(first):
        rng = random.Random(first)
        for number in range(first, 60, 3):
            # The revenue 2**number identifies the batch, which has 2 sales or 301.
            events = [trade(str(rng.randrange(3)), REVENUE=0) for _ in range(rng.choice([0, 299]))]
            record_sales([*events, trade(REVENUE=2**number), trade("2", "1", REVENUE=2**number)])

    def fold():
        while not ended.is_set():
            folding.fold()

    def read(revenues):
        seen = 0
        while not ended.is_set():
            first, second = revenues()
            if first != second or seen & ~first:
                faults.append((seen, first, second))
            seen = first

    def revenues_by_day():
        figures = country_sales()
        return (int(figures.get(("01-07", *pair), (0, 0))[1]) for pair in (("1", "2"), ("2", "1")))

    def revenues_of_a_country():
        with connection.cursor() as cursor:
            cursor.execute("SELECT sold_revenue, bought_revenue FROM country_figures WHERE id_country = '1'")
            return map(int, cursor.fetchone() or (0, 0))

    with together((fold,), (read, revenues_by_day), (read, revenues_of_a_country)):
        try:
            with together((write, 0), (write, 1), (write, 2)):
                pass
        finally:
            ended.set()

    assert faults == []
    assert country_sales()["01-07", "2", "1"] == (20 * 3, 2**60 - 1)
    assert verification.verify() == []


def test_the_migration_counts_existing_sales():
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
    assert not [each for each in verification.verify() if each.name.startswith("country")]
    assert [day.row_count for day in CountryDay.objects.all()] == [1, 1]


def without_waiting(function):
    """Return what the function returns. Fail if it has to wait for a lock."""
    with waiting_at_most("1s"):
        return function()
