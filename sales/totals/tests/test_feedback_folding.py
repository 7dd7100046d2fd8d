"""Writers fold the ledger into the totals of the feedback."""

import datetime
import math
from decimal import Decimal

import pytest
from django.db import DatabaseError

from sales.ingest.writer import COPY_THRESHOLD, record_sales
from sales.models import DailyTotal, Sale, Total
from sales.tests.helpers import refusing, sale_event
from sales.totals import folding, verification
from sales.totals.feedback import FeedbackQuery, top_categories
from sales.totals.isolation import FOLD_LOCK
from sales.totals.tests.helpers import unfolded
from salesengine.database import session_lock
from salesengine.operations.metrics import registry

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "singles"])
only_tests_fold = pytest.mark.django_db(transaction=False)  # without a commit, writers do not fold
FIRST = datetime.datetime(2021, 1, 1, tzinfo=datetime.UTC)


def measured_folds():
    return registry.get_sample_value("salesengine_fold_duration_seconds_count")


@only_tests_fold
def test_a_fold_adds_the_entries_to_the_totals():
    record_sales([sale_event(REVENUE=1), sale_event(REVENUE=2, DATE_PAYMENT="2021-01-08"), sale_event(CATEGORY=None)])
    before = top_categories(FeedbackQuery())

    assert folding.fold() == (1, False)

    assert not unfolded().exists()
    assert {(total.category, total.sales_count, total.revenue) for total in Total.objects.all()} == {
        ("clothing", 2, Decimal(3)),
        (None, 1, Decimal("57.27456")),
    }
    assert DailyTotal.objects.count() == 3
    assert top_categories(FeedbackQuery()) == before


@only_tests_fold
def test_a_fold_adds_to_existing_totals():
    for category in ("clothing", None):
        for _ in range(2):
            record_sales([sale_event(CATEGORY=category, REVENUE="0.1")])
            folding.fold()

    assert {(total.category, total.sales_count, total.revenue) for total in DailyTotal.objects.all()} == {
        ("clothing", 2, Decimal("0.2")),
        (None, 2, Decimal("0.2")),
    }


@only_tests_fold
def test_a_fold_without_entries_does_nothing():
    assert folding.fold() == (0, False)


@only_tests_fold
def test_only_folds_that_add_entries_are_measured():
    before = measured_folds()
    folding.fold()
    assert measured_folds() == before

    record_sales([sale_event()])
    folding.fold()

    assert measured_folds() == before + 1


@only_tests_fold
def test_a_fold_moves_a_limited_number_of_entries(monkeypatch):
    monkeypatch.setattr(folding, "MAX_ENTRIES", 2)
    for _ in range(3):
        record_sales([sale_event()])

    assert [folding.fold() for _ in range(3)] == [(2, True), (1, False), (0, False)]


def test_writers_keep_the_unfolded_entries_few(monkeypatch):
    monkeypatch.setattr(folding, "FOLD_INTERVAL", 8)

    lengths = []
    for _ in range(50):
        record_sales([sale_event()])
        lengths.append(unfolded().count())

    assert max(lengths) <= 8
    assert verification.verify() == []


def test_a_batch_of_many_days_is_folded_at_once():
    days = [sale_event(DATE_PAYMENT=FIRST + datetime.timedelta(days=number)) for number in range(450)]
    record_sales(days)

    assert not unfolded().exists()
    assert verification.verify() == []


def test_a_fold_that_fails_does_not_fail_the_sale(monkeypatch, api, event, caplog):
    monkeypatch.setattr(folding, "FOLD_INTERVAL", 1)

    with refusing("feedback_daily_total", "false"):
        response = api.post("/ingest", event, format="json")

    assert response.status_code == 201
    assert "feedback_daily_total" in caplog.text
    assert top_categories(FeedbackQuery())[0].sales_count == 1


def test_a_long_backlog_that_cannot_be_folded_is_logged(monkeypatch, caplog):
    monkeypatch.setattr(folding, "FOLD_INTERVAL", 2)
    monkeypatch.setattr(folding, "LONG_BACKLOG", 4)
    monkeypatch.setattr(folding, "_warned_at", -math.inf)

    with session_lock(FOLD_LOCK):
        for _ in range(3):
            record_sales([sale_event()])
        assert caplog.text == ""
        for _ in range(3):
            record_sales([sale_event()])

        for _ in range(6):
            record_sales([sale_event()])

    assert "Folds are held back: feedback slows down, because" in caplog.text
    assert caplog.text.count("Folds are held back") == 1, "one warning a minute, not one for each attempt"


@pytest.mark.parametrize("number", [2, COPY_THRESHOLD + 1])
def test_a_failed_batch_stores_no_sales(number):
    with refusing("ledger", "false"), pytest.raises(DatabaseError):
        record_sales([sale_event()] * number)

    assert not Sale.objects.exists()


@pytest.mark.parametrize("count", [5, COPY_THRESHOLD + 1])
def test_sales_get_their_ids_in_order(count):
    ids = record_sales([sale_event(ID_ORDER=str(number)) for number in range(count)]).ids

    orders = dict(Sale.objects.values_list("id", "id_order"))
    assert [orders[new_id] for new_id in ids] == [str(number) for number in range(count)]
