"""A verification finds wrong totals by country, and a repair corrects them."""

from contextlib import ExitStack
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from sales.ingest.writer import record_sales
from sales.models import CountryDailyTotal, CountryDay, CountryTotal
from sales.totals import folding, verification
from sales.totals.isolation import FOLD_LOCK
from sales.totals.tests.helpers import trade, unfolded
from sales.totals.tests.threads import someone_waits, together
from salesengine.database import session_lock
from salesengine.tests.servers import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def sales(monkeypatch):
    monkeypatch.setattr(folding, "FOLD_INTERVAL", 10**9)  # so that the last sale stays unfolded
    monkeypatch.setattr(folding, "SALES_INTERVAL", 10**9)
    monkeypatch.setattr(folding.making, "is_due", lambda days: False)  # a missing partition would start a fold
    record_sales([trade(REVENUE="1.5"), trade("3", "4")])
    folding.fold()
    record_sales([trade(DATE_PAYMENT="2021-01-08")])


def test_a_wrong_daily_total_is_found():
    CountryDailyTotal.objects.filter(id_seller_country="1").update(revenue=2)

    [difference] = verification.verify()

    assert difference.name == "country 1 to 2, 2021-01-07"
    assert (difference.stored, difference.expected) == ((1, Decimal(2)), (1, Decimal("1.5")))


def test_a_missing_entry_is_found():
    unfolded().delete()
    stored = {difference.name: difference.stored for difference in verification.verify()}
    assert stored["country 1 to 2, 2021-01-08"] == (0, 0)


def test_a_total_without_sales_is_found():
    CountryDailyTotal.objects.create(
        day="2020-01-01", id_seller_country="1", id_buyer_country="2", sales_count=1, revenue=1
    )
    assert [difference.expected for difference in verification.verify()] == [(0, 0)]


def test_a_wrong_total_of_a_country_is_found():
    CountryTotal.objects.filter(id_country="2").update(bought_revenue=7)

    [difference] = verification.verify()

    assert difference.name == "country 2, bought"
    assert difference.stored == (2, Decimal("64.27456"))  # the wrong 7 and the unfolded sale
    assert difference.expected == (2, Decimal("58.77456"))


def test_a_missing_total_of_a_country_is_found():
    CountryTotal.objects.filter(id_country="3").delete()
    [difference] = verification.verify()
    assert (difference.name, difference.stored) == ("country 3, sold", (0, 0))


def test_a_repair_corrects_every_figure():
    CountryDailyTotal.objects.update(revenue=2)
    CountryTotal.objects.update(sold_count=5)
    CountryTotal.objects.create(id_country="9", sold_count=1, sold_revenue=1, bought_count=0, bought_revenue=0)

    verification.repair()

    assert verification.verify() == []
    assert CountryDailyTotal.objects.count() == 2
    assert list(CountryDay.objects.values_list("row_count", "merged_count")) == [(2, 2)]


def test_a_repair_removes_totals_without_sales_and_counts_the_rows_of_their_day():
    CountryDailyTotal.objects.create(
        day="2020-01-01", id_seller_country="1", id_buyer_country="2", sales_count=1, revenue=1
    )
    CountryDay.objects.create(day="2020-01-01", row_count=5_000, merged_count=0)

    verification.repair()

    assert verification.verify() == []
    assert not CountryDailyTotal.objects.filter(day="2020-01-01").exists()
    assert not CountryDay.objects.filter(day="2020-01-01").exists()


def test_folds_run_while_a_repair_adds_up_all_sales():
    CountryDailyTotal.objects.update(revenue=2)

    with ExitStack() as repairing, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE sales")  # the repair waits here before it reads sales
        repairing.enter_context(together((verification.repair,)))
        wait_until(lambda: someone_waits("relation"))
        folded = folding.fold().entries

    assert folded == 1
    assert verification.verify() == []


def test_sales_stored_and_folded_during_a_repair_are_counted_once():
    CountryDailyTotal.objects.update(revenue=2)

    with ExitStack() as repairing, session_lock(FOLD_LOCK):
        repairing.enter_context(together((verification.repair,)))
        wait_until(lambda: someone_waits("advisory"))  # the repair has compared
        record_sales([trade(), trade("5", "6")])
        folded = folding.fold().entries
        record_sales([trade("5", "6")])

    assert folded == 2
    assert verification.verify() == []


def test_the_command_prints_wrong_totals_and_repairs_them(capsys):
    CountryDailyTotal.objects.filter(id_seller_country="1").update(revenue=2)

    with pytest.raises(CommandError, match="1 figure differs from"):
        call_command("verify_feedback")
    assert capsys.readouterr().out == (
        "country 1 to 2, 2021-01-07: stored 1 sale with revenue 2, expected 1 with 1.5\n"
    )
    CountryTotal.objects.filter(id_country="4").update(bought_count=3)
    with pytest.raises(CommandError, match="2 figures differ"):
        call_command("verify_feedback")
    assert capsys.readouterr().out.splitlines()[1] == (
        "country 4, bought: stored 3 sales with revenue 57.27456, expected 1 with 57.27456"
    )

    call_command("verify_feedback", "--repair")
