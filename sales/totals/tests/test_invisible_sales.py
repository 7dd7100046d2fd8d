"""Folds wait for sales that are committed but not visible yet, as happens on a cluster, and lose none of them."""

from decimal import Decimal

import pytest

from sales.ingest.writer import record_sales
from sales.models import Sale, Total
from sales.totals import fold_thread, folding, verification
from sales.totals.tests.helpers import country_sales, trade, unfolded, void

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def only_tests_fold(monkeypatch):
    """Keep writers from folding, and folds from waiting long."""
    monkeypatch.setattr(folding, "request_fold", lambda fold: None)
    monkeypatch.setattr(folding, "VISIBILITY_PAUSES", (0, 0))


def store_hidden(**changes):
    """Store a sale that no reader sees. Return the function that shows it."""
    sale = Sale.objects.get(pk=record_sales([trade(**changes)]).ids[0])
    Sale.objects.filter(pk=sale.pk).delete()
    return lambda: Sale.objects.bulk_create([sale])


def at_each_pause(monkeypatch, *actions):
    remaining = iter(actions)
    monkeypatch.setattr(folding.time, "sleep", lambda seconds: next(remaining)())


def test_a_fold_waits_quietly_for_a_sale_that_becomes_visible(monkeypatch, caplog):
    at_each_pause(monkeypatch, store_hidden())

    assert folding.fold().entries == 1

    assert verification.verify() == []
    assert not caplog.records


def test_a_fold_that_waits_leaves_newer_sales_to_the_next_one(monkeypatch):
    show = store_hidden()
    at_each_pause(monkeypatch, lambda: (show(), store_hidden()))

    assert folding.fold().entries == 1
    assert unfolded().count() == 1


def test_a_sale_that_stays_invisible_changes_nothing_and_is_logged(caplog):
    record_sales([trade()])
    store_hidden()

    fold_thread._run(folding.fold_all)

    [record] = caplog.records
    assert "The ledger names 2 changed sales, but only 1 can be read as it says" in record.message
    assert unfolded().count() == 2
    assert not Total.objects.exists()
    assert country_sales() == {("01-07", "1", "2"): (1, Decimal("57.27456"))}


def test_a_sale_that_is_read_twice_while_it_is_voided_does_not_stand_for_an_invisible_one():
    [wrong] = record_sales([trade(REVENUE=1)]).ids
    sale = Sale.objects.get(pk=wrong)
    folding.fold()
    void(wrong)
    Sale.objects.bulk_create([sale])  # as if the node of the sale had not committed yet
    show = store_hidden(REVENUE=2)

    with pytest.raises(folding.InvisibleSalesError):
        folding.fold()

    Sale.objects.filter(pk=wrong).delete()
    show()
    assert folding.fold().entries == 2
    assert verification.verify() == []
