"""Each month of payment gets a partition of its own, and no request waits until it has one."""

import datetime
import logging
import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from sales.ingest.writer import record_sales
from sales.models import LedgerEntry, Sale
from sales.partitions import making
from sales.partitions.months import INDEXES, Month
from sales.partitions.tests.helpers import drop_months, partition_names, partitions
from sales.tests.helpers import sale_event
from sales.totals import fold_thread, verification
from sales.totals.country_totals import figures_by_country
from sales.totals.tests.threads import someone_waits, together
from salesengine.tests.servers import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
MARCH = "2021-03-31T23:59:59.999999Z"
APRIL = "2021-04-01T00:00:00Z"


@pytest.fixture(autouse=True)
def no_months(monkeypatch):
    drop_months()
    monkeypatch.setattr(making, "_known", frozenset())
    monkeypatch.setattr(making, "_retry_at", -math.inf)
    yield
    drop_months()


def sell(*days):
    return record_sales([sale_event(DATE_PAYMENT=day) for day in days]).ids


def test_sales_move_to_the_partitions_of_their_months():
    ids = sell(MARCH, APRIL, "1999-12-31T12:00:00Z")

    assert partitions() == {"sales_2021_03": 1, "sales_2021_04": 1, "sales_other": 1}
    assert list(Sale.objects.order_by("id").values_list("id", flat=True)) == ids
    assert verification.verify() == []


def test_later_sales_go_straight_to_the_partition_of_their_month(monkeypatch):
    sell(MARCH)
    monkeypatch.setattr(making, "_attach", None)  # no partition can be made
    sell(MARCH, MARCH)

    assert partitions() == {"sales_2021_03": 3}


def test_this_month_and_the_next_have_partitions_before_their_first_sale():
    sell(MARCH)

    this_month = Month.of(datetime.datetime.now(datetime.UTC))
    assert partition_names() == {"sales_2021_03", this_month.table, this_month.next.table, "sales_other"}


def test_a_partition_has_all_indexes_of_a_month():
    sell(MARCH)

    with connection.cursor() as cursor:
        cursor.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'sales_2021_03'")
        assert {name for (name,) in cursor} == {f"sales_2021_03_{suffix}" for suffix in ["pkey", *INDEXES]}


def test_sales_of_an_entry_are_found_by_their_ids_although_a_month_has_few_times_of_payment():
    """PostgreSQL 18 looks for ids also in an index whose first column it believes to have few values."""
    dates = [f"2021-03-{1 + number % 31:02}T{number % 7:02}:00:00Z" for number in range(3_000)]
    sell(*dates)
    for start in range(0, 3_000, 100):
        sell(*dates[start : start + 100])

    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sales_2021_03")
        cursor.execute("EXPLAIN SELECT * FROM ledger_sales")
        plan = "\n".join(line for (line,) in cursor)
    assert "sales_2021_03_pkey" in plan
    assert "sales_2021_03_newest" not in plan


def test_implausible_months_have_no_partition(settings):
    settings.EARLIEST_PAYMENT_DATE = datetime.date(1, 1, 1)
    next_century = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=36_500)).isoformat()
    sell("0001-01-01T00:00:00Z", next_century, "1950-05-05T00:00:00Z")

    assert partitions() == {"sales_other": 3}


def test_sales_that_get_no_partition_request_no_fold():
    next_year = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=300)
    sell(next_year.isoformat())

    assert partitions() == {"sales_other": 1}
    assert LedgerEntry.objects.get().position is None


@contextmanager
def reader_in_another_session():
    """Keep a statement on `sales` open, such as a long report."""

    def read(started, ended):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM sales")
            started.set()
            ended.wait(30)
        connection.close()

    started, ended = Event(), Event()
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(read, started, ended)
        started.wait(30)
        try:
            yield
        finally:
            ended.set()
            done.result()


def test_a_partition_waits_for_long_readers_and_no_writer_waits_for_it(monkeypatch):
    with reader_in_another_session():
        sell(MARCH)
        assert partitions() == {"sales_other": 1}
        sell(MARCH)
    assert partitions() == {"sales_other": 2}

    monkeypatch.setattr(making, "_retry_at", -math.inf)
    sell(MARCH)

    assert partitions() == {"sales_2021_03": 3}
    assert verification.verify() == []


def test_a_failed_attempt_is_not_repeated_at_once(monkeypatch):
    with reader_in_another_session():
        sell(MARCH)
    sell(MARCH)

    assert partitions() == {"sales_other": 2}


@pytest.mark.parametrize("read", [verification._compare_countries, figures_by_country])
def test_no_reader_of_countries_misses_sales_that_move(read, monkeypatch):
    """A reader that begins while they move looks for them in the new table."""
    monkeypatch.setattr("sales.totals.folding.request_fold", lambda fold: None)
    sell(MARCH, MARCH)
    before = read()

    def make(moved):
        with transaction.atomic():
            making._make(Month(2021, 3), patient=True)
            moved.set()
            wait_until(someone_waits)

    moved = Event()
    with together((make, moved)):
        moved.wait(30)
        assert read() == before


def test_two_processes_make_the_same_partition(monkeypatch):
    monkeypatch.setattr(fold_thread, "request_fold", lambda fold: None)
    monkeypatch.setattr("sales.totals.folding.request_fold", lambda fold: None)
    sell(MARCH)

    def make(_):
        try:
            making._make(Month(2021, 3), patient=True)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(make, range(4)))

    assert partitions() == {"sales_2021_03": 1}


@pytest.mark.django_db(transaction=True, databases=["default", "reports"])
def test_many_sales_move_when_the_database_is_prepared(monkeypatch, caplog):
    monkeypatch.setattr(making, "MOVE_LIMIT", 2)
    monkeypatch.setattr(making, "COUNT_OTHERS", making.COUNT_OTHERS.replace("10001", "3"))
    with caplog.at_level(logging.WARNING):
        sell(MARCH, MARCH, MARCH)
    assert partitions() == {"sales_other": 3}
    assert "The sales of 2021-03 stay in sales_other until manage.py prepare moves them" in caplog.text

    monkeypatch.setattr(making, "_known", frozenset())  # as in another process
    call_command("prepare")

    assert partitions() == {"sales_2021_03": 3}


def test_a_command_makes_months_before_it_writes(tmp_path, monkeypatch):
    monkeypatch.setattr("sales.totals.folding.request_fold", lambda fold: None)
    call_command("load_demo", sales=2_000, until=datetime.date(2021, 6, 30))

    assert "sales_other" not in partitions()
    assert "sales_2021_06" in partitions()
