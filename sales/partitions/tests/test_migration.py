"""The table of sales becomes the first partition while clients send sales, and back again."""

import datetime
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from django.core.management import call_command
from django.db import Error, connection
from django.db.migrations.recorder import MigrationRecorder

from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.partitions import making
from sales.partitions.months import Month
from sales.partitions.tests.helpers import partition_names, partitions
from sales.tests.helpers import sale_event
from sales.totals import folding, verification

pytestmark = pytest.mark.django_db(transaction=True)
BEFORE, EXCHANGE = "0020_days_of_entries", "0021_partition_sales"
FIRST = "sales_before_partitions"


# Works before and after the migration.
SELL = """
    WITH sold AS (
        INSERT INTO sales (id_order, id_product, id_buyer, id_seller, id_seller_country, id_buyer_country,
            date_payment, category, revenue)
        SELECT '1', '1', '1', '1', '1', '2', '2021-01-08 12:00+00', 'bags', 0.1 FROM generate_series(1, %s)
        RETURNING id
    )
    INSERT INTO ledger (sender, sources, sale_ids, accepted, tallies)
    SELECT 'shop', '{r-1}', range_agg(int8range(id, id, '[]')), count(*), json_build_array(json_build_object(
        'category', 'bags', 'day', '2021-01-08', 'sales_count', count(*), 'revenue', sum(0.1)
    ))
    FROM sold
    """


def sell(number):
    with connection.cursor() as cursor:
        cursor.execute(SELL, [number])


@pytest.fixture(autouse=True)
def latest_migrations(monkeypatch):
    monkeypatch.setattr(making, "_known", frozenset())
    yield
    Sale.objects.all().delete()
    call_command("migrate", "sales", BEFORE, verbosity=0)
    call_command("migrate", verbosity=0)


def migrate_back():
    call_command("migrate", "sales", BEFORE, verbosity=0)


def payment_options(table):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attoptions FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'date_payment'", [table]
        )
        return cursor.fetchone()[0]


def contents():
    return list(Sale.objects.order_by("id").values_list())


def test_the_sales_so_far_stay_in_one_partition_and_new_months_go_beside_it():
    migrate_back()
    sell(2)
    before = contents()

    call_command("migrate", verbosity=0)

    assert contents() == before
    assert partitions() == {FIRST: 2}
    [new] = record_sales([sale_event()]).ids
    assert new > before[-1][0]
    assert partitions() == {FIRST: 3}
    assert verification.verify() == []
    in_two_months = Month.of(datetime.datetime.now(datetime.UTC)).next.next
    making._make(in_two_months, patient=True)
    assert partition_names() == {FIRST, in_two_months.table, "sales_other"}


def test_the_way_back_unites_all_partitions():
    record_sales([sale_event(), sale_event(DATE_PAYMENT="2021-02-01T00:00:00Z")])
    folding.fold_all(wait=True)
    before = contents()
    assert len(partitions()) == 2

    migrate_back()

    assert contents() == before
    assert payment_options("sales") is None
    sell(1)
    call_command("migrate", verbosity=0)
    assert partitions() == {FIRST: 3}
    assert payment_options(FIRST) == payment_options("sales_other") == ["n_distinct=-1"]
    migrate_back()
    assert contents()[:2] == before
    assert payment_options("sales") is None
    call_command("migrate", verbosity=0)
    assert verification.verify() == []


def test_a_migration_that_was_killed_before_it_was_recorded_goes_on():
    migrate_back()
    sell(2)
    before = contents()

    call_command("migrate", "sales", EXCHANGE, verbosity=0)
    MigrationRecorder(connection).record_unapplied("sales", EXCHANGE)
    call_command("migrate", verbosity=0)

    assert contents() == before
    assert partitions() == {FIRST: 2}

    migrate_back()
    MigrationRecorder(connection).record_applied("sales", EXCHANGE)
    migrate_back()

    assert contents() == before
    assert partition_names() == set()


@pytest.mark.slow
def test_no_sale_is_lost_while_the_table_is_exchanged():
    migrate_back()
    sell(1_000)
    accepted, failures, stop = [1_000], [], Event()

    def write():
        try:
            while not stop.wait(0.1):
                try:
                    sell(5)
                    accepted.append(5)
                except Error as error:
                    failures.append(error)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(write) for _ in range(2)]
        for _ in range(3):
            call_command("migrate", verbosity=0)
            migrate_back()
        call_command("migrate", verbosity=0)
        stop.set()
        for writer in writers:
            writer.result()

    assert {str(failure).split(" with OID ")[0] for failure in failures} <= {"could not open relation"}
    assert len(accepted) > len(failures)
    assert Sale.objects.count() == sum(accepted)
    folding.fold_all(wait=True)
    assert verification.verify() == []
