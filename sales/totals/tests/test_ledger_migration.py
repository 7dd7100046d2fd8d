"""The ledger takes the place of the journals, and back again, without losing a figure."""

from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from sales.ingest.writer import record_sales
from sales.models import LedgerEntry, Sale
from sales.tests.helpers import rejected_event, sale_event
from sales.totals import feedback, folding, verification
from sales.totals.ingest_minutes import counts_since
from sales.totals.tests.helpers import country_sales, trade, unfolded, void

pytestmark = pytest.mark.django_db(transaction=True)
BEFORE = "0015_recognize_cut_off_files"
# What the version before has stored for three sales and four duplicates that are not folded. The ids are free.
JOURNALS = """
    INSERT INTO sales (id, id_order, id_product, id_buyer, id_seller, id_seller_country, id_buyer_country,
        date_payment, category, revenue)
    SELECT number - 9, '1', '1', '1', '1', '1', '2', '2021-01-08', category, 0.1
    FROM (VALUES (0, 'bags'), (1, 'bags'), (3, NULL)) AS sold (number, category);
    INSERT INTO feedback_journal (category, day, sales_count, revenue, received_at)
    VALUES ('bags', '2021-01-08', 2, 0.2, now()), (NULL, '2021-01-08', 1, 0.1, now());
    INSERT INTO country_journal (sale_ids, sales_count) VALUES ('{[-9,-8],[-6,-6]}', 3);
    INSERT INTO duplicate_journal (events_count) VALUES (3), (1);
    """
FIGURES = """
    SELECT category, day, SUM(sales_count), SUM(revenue)
    FROM (
        SELECT category, day, sales_count, revenue FROM feedback_daily_total
        UNION ALL
        SELECT category, day, sales_count, revenue FROM feedback_journal
    ) AS parts
    GROUP BY category, day
    HAVING SUM(sales_count) <> 0
    """


@pytest.fixture(autouse=True)
def sales(monkeypatch):
    """Store and fold two sales. Writers do not fold."""
    monkeypatch.setattr("sales.ingest.writer.fold_if_due", lambda *due: None)
    record_sales([trade(REVENUE="1.5"), trade("3", "4", EVENT_ID="e-1")])
    record_sales([trade("3", "4", EVENT_ID="e-1")])
    folding.fold()
    yield
    call_command("migrate", verbosity=0)


def migrate_back():
    call_command("migrate", "sales", BEFORE, verbosity=0)


def run(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else None


def test_what_the_journals_hold_moves_into_the_totals_and_the_ledger():
    migrate_back()
    run(JOURNALS)
    rejected_event()

    call_command("migrate", verbosity=0)

    assert verification.verify() == []
    assert feedback.watermark().sales == 5
    assert country_sales()["01-08", "1", "2"] == (3, Decimal("0.3"))
    assert tuple(counts_since(timezone.now())) == (5, 5, 1)
    assert not unfolded().exists()
    [entry] = LedgerEntry.objects.values("sources", "accepted", "position", "sale_ids")
    last = Sale.objects.order_by("id").last().pk
    assert str(entry.pop("sale_ids")) == f"{{[-9, -7), [-6, -5), [{last - 1}, {last + 1})}}"
    assert entry == {"sources": ["before the ledger"], "accepted": 5, "position": 5}


def test_new_sales_continue_after_those_before_the_ledger():
    migrate_back()
    call_command("migrate", verbosity=0)
    record_sales([sale_event()])
    folding.fold()

    assert list(LedgerEntry.objects.order_by("id").values_list("position", flat=True)) == [2, 3]


def test_a_database_without_sales_gets_an_empty_ledger():
    run("TRUNCATE sales, ledger, feedback_total, feedback_daily_total, country_daily_total, country_total, country_day")
    migrate_back()
    call_command("migrate", verbosity=0)

    assert not LedgerEntry.objects.exists()
    assert verification.verify() == []


def test_going_back_folds_what_the_ledger_holds_also_voided_sales():
    first = Sale.objects.order_by("id").first().pk
    new = record_sales([trade("5", "6", EVENT_ID="e-2"), trade("5", "6", CATEGORY="bags")]).ids
    record_sales([trade("5", "6", EVENT_ID="e-2")])
    void(first, new[1])

    migrate_back()

    assert sorted(run(FIGURES)) == [("clothing", run("SELECT date '2021-01-07'")[0][0], 2, Decimal("114.54912"))]
    pairs = {key: figures for key, figures in country_sales().items() if figures[0]}
    price = Decimal("57.27456")
    assert pairs == {("01-07", "3", "4"): (1, price), ("01-07", "5", "6"): (1, price)}
    assert run("SELECT SUM(accepted)::int, SUM(duplicate)::int FROM ingest_minute") == [(4, 2)]
    call_command("migrate", verbosity=0)
    assert verification.verify() == []
    assert feedback.watermark().sales == 2
