"""A verification finds wrong figures of the feedback, and a repair corrects them."""

import datetime
from decimal import Decimal

import pytest

from sales.categories import Category
from sales.ingest.writer import record_sales
from sales.models import DailyTotal, Total
from sales.tests.helpers import sale_event
from sales.totals import feedback, folding, verification
from sales.totals.feedback import FeedbackQuery, top_categories
from sales.totals.tests.helpers import unfolded
from sales.totals.tests.threads import in_another_thread

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def sales(monkeypatch):
    monkeypatch.setattr(folding, "FOLD_INTERVAL", 10**9)  # so that the last sale stays unfolded
    monkeypatch.setattr(folding, "SALES_INTERVAL", 10**9)
    record_sales([sale_event(CATEGORY=category) for category in [*Category.values, None]])
    folding.fold()
    record_sales([sale_event(DATE_PAYMENT="2021-01-08")])


def test_correct_figures_have_no_differences():
    assert verification.verify() == []


def test_a_sale_stored_meanwhile_is_not_a_difference(monkeypatch):
    read_sales = verification._every_sale

    def read_sales_after_another_is_stored(advance):
        in_another_thread(record_sales, [sale_event()])
        return read_sales(advance)

    monkeypatch.setattr(verification, "_every_sale", read_sales_after_another_is_stored)

    assert verification.verify() == []


def test_a_wrong_total_is_found():
    Total.objects.filter(category="bags").update(sales_count=2)

    [difference] = verification.verify()

    assert difference.name == "bags, all time"
    assert (difference.stored, difference.expected) == ((2, Decimal("57.27456")), (1, Decimal("57.27456")))


def test_a_wrong_daily_total_is_found():
    DailyTotal.objects.filter(category=None).update(revenue=Decimal("57.27455"))

    [difference] = verification.verify()

    assert difference.name == "no category, 2021-01-07"


def test_a_missing_entry_is_found():
    unfolded().delete()

    names = [difference.name for difference in verification.verify()]
    assert names[:2] == ["clothing, all time", "clothing, 2021-01-08"]


def test_a_total_without_sales_is_found():
    DailyTotal.objects.create(category="bags", day=datetime.date(2020, 1, 1), sales_count=1, revenue=1)

    assert [difference.expected for difference in verification.verify()] == [(0, Decimal(0))]


def test_a_repair_corrects_every_figure():
    Total.objects.all().delete()
    DailyTotal.objects.update(revenue=1)

    verification.repair()

    assert verification.verify() == []


def test_a_repair_removes_totals_without_sales_and_corrects_the_time_of_the_newest_sale():
    before = feedback.watermark()
    DailyTotal.objects.create(category="x", day=datetime.date(2020, 1, 1), sales_count=1, revenue=1)
    Total.objects.create(category="x", sales_count=1, revenue=1, received_at="2121-01-01T00:00Z")

    verification.repair()

    assert not DailyTotal.objects.filter(category="x").exists()
    assert not Total.objects.filter(category="x").exists()
    assert feedback.watermark() == before


def test_a_sale_stored_during_a_repair_is_counted_once():
    Total.objects.all().delete()

    verification.repair(advance=lambda sales: in_another_thread(record_sales, [sale_event(CATEGORY="bags")] * 10))

    assert verification.verify() == []
    assert top_categories(FeedbackQuery("bags"))[0].sales_count == 11


def test_folds_run_during_a_repair():
    Total.objects.all().delete()
    DailyTotal.objects.update(revenue=1)

    folded = []

    verification.repair(advance=lambda sales: folded.append(in_another_thread(folding.fold)))

    assert folded == [(1, False)]
    assert verification.verify() == []
