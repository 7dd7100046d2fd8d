"""The watermark has the number of all sales, and when the newest was received."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db.models import Max
from django.utils import timezone

from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.tests.helpers import sale_event
from sales.totals import feedback, folding
from sales.totals.tests.helpers import unfolded

pytestmark = pytest.mark.django_db(transaction=True)


def expected_watermark():
    return Sale.objects.count(), Sale.objects.aggregate(Max("received_at"))["received_at__max"]


def test_without_sales_the_watermark_is_empty():
    assert feedback.watermark() == (0, None)


def test_the_watermark_counts_folded_and_unfolded_sales():
    record_sales([sale_event(), sale_event(CATEGORY="bags")])
    assert feedback.watermark() == expected_watermark()
    folding.fold()
    assert feedback.watermark() == expected_watermark()
    record_sales([sale_event()])
    assert feedback.watermark() == expected_watermark()
    folding.fold()
    assert feedback.watermark() == expected_watermark()


def test_a_sale_of_an_older_transaction_does_not_set_it_back():
    record_sales([sale_event()])
    folding.fold()
    newest = feedback.watermark().received_at
    record_sales([sale_event()])
    unfolded().update(received_at=timezone.now() - timedelta(hours=1))
    folding.fold()
    assert feedback.watermark() == (2, newest)


def test_a_repair_restores_the_watermark():
    record_sales([sale_event(), sale_event()])
    call_command("verify_feedback", "--repair")
    assert feedback.watermark() == expected_watermark()
