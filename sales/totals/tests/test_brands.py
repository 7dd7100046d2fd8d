"""The table of brands has every brand of the folded sales, whoever stored them."""

import pytest

from sales.ingest.writer import COPY_THRESHOLD, record_sales
from sales.models import Brand, LedgerEntry, Sale
from sales.tests.helpers import sale_event
from sales.totals import folding, verification
from sales.totals.tests.helpers import record_singles, void

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "singles"])


@pytest.fixture(autouse=True)
def only_tests_fold(monkeypatch):
    monkeypatch.setattr(folding, "request_fold", lambda fold: None)


def brands():
    return set(Brand.objects.values_list("name", flat=True))


@pytest.mark.parametrize("record", [record_sales, record_singles])
def test_a_fold_adds_new_brands(record):
    record([sale_event(BRAND="Alba"), sale_event(BRAND="it's"), sale_event(BRAND=None)])
    folding.fold()
    record([sale_event(BRAND="Alba"), sale_event(BRAND="Nord")])
    assert brands() == {"Alba", "it's"}
    folding.fold()

    assert brands() == {"Alba", "it's", "Nord"}
    assert Brand.objects.get(name="Alba").first_seen == Sale.objects.earliest("id").received_at
    assert not LedgerEntry.objects.exclude(brands=None).exists()


def test_a_large_batch_adds_its_brands():
    record_sales([sale_event(BRAND=f"b-{number % 50}") for number in range(COPY_THRESHOLD + 1)])
    folding.fold()

    assert len(brands()) == 50


def test_a_brand_stays_when_its_sale_is_voided():
    void(*record_sales([sale_event(BRAND="Alba")]).ids)
    folding.fold()

    assert brands() == {"Alba"}


def test_a_repair_adds_missing_brands():
    record_sales([sale_event(BRAND="Alba"), sale_event(BRAND=None)])
    folding.fold()
    Brand.objects.all().delete()

    verification.repair()

    assert brands() == {"Alba"}
