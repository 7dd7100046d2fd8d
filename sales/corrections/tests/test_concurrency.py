"""Corrections beside each other, beside folds, and beside clients that send an EVENT_ID again."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from sales.corrections.tests.helpers import CLIENT, SHOP, correct, replace, store, void
from sales.ingest.writer import record_sales
from sales.models import Sale, VoidedSale
from sales.tests.helpers import sale_event
from sales.totals import folding, verification
from sales.totals.tests.threads import someone_waits
from salesengine.http.errors import AlreadyCorrected
from salesengine.tests.servers import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def in_thread(work, *arguments, **options):
    try:
        return work(*arguments, **options)
    finally:
        connection.close()


def until_it_waits(future):
    """Wait until the work of a thread waits for a lock."""
    wait_until(lambda: future.done() or someone_waits())


def beside(correction, work, *arguments, **options):
    """Do the work in a thread while the transaction of the correction is open. Return the future of its result."""
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            correct(correction)
            second = pool.submit(in_thread, work, *arguments, **options)
            until_it_waits(second)
            assert not second.done()
        return second


@pytest.mark.parametrize("second", [void, lambda **which: replace({"REVENUE": 9}, **which)], ids=["void", "replace"])
@pytest.mark.parametrize("first", [void, lambda **which: replace({"REVENUE": 5}, **which)], ids=["void", "replace"])
def test_the_second_of_two_corrections_is_refused(first, second):
    [sale_id] = store({"EVENT_ID": "e-1"})

    outcome = beside(first(ID=sale_id), correct, second(EVENT_ID="e-1"), by=CLIENT)

    with pytest.raises(AlreadyCorrected):
        outcome.result()
    assert VoidedSale.objects.count() == 1
    assert verification.verify() == []


def test_corrections_of_the_same_sales_in_any_order_never_wait_for_each_other_in_a_circle():
    ids = store(*({"ID_ORDER": str(number)} for number in range(40)))
    rng = random.Random(1)
    batches = [[void(ID=each) for each in rng.sample(ids, 10)] for _ in range(16)]
    refused = []

    def work(batch):
        try:
            return [sale.pk for sale in in_thread(correct, *batch)]
        except AlreadyCorrected as error:
            refused.append(error)
            return []

    with ThreadPoolExecutor(8) as pool:
        voided = [sale_id for ids_of_batch in pool.map(work, batches) for sale_id in ids_of_batch]

    assert refused
    assert sorted(voided) == sorted(VoidedSale.objects.values_list("pk", flat=True))
    assert verification.verify() == []


def test_a_client_that_sends_the_wrong_event_again_meanwhile_is_told_of_the_conflict():
    [sale_id] = store({"EVENT_ID": "e-1"})

    outcome = beside(replace({"REVENUE": 5}, ID=sale_id), record_sales, [sale_event(EVENT_ID="e-1")], SHOP)

    assert outcome.result().conflicts == {0}
    assert [sale.revenue for sale in Sale.objects.all()] == [5]


def test_a_client_that_sends_the_right_event_meanwhile_has_sent_a_duplicate():
    [sale_id] = store({"EVENT_ID": "e-1"})
    right = sale_event(EVENT_ID="e-1", REVENUE=5)

    outcome = beside(replace({"REVENUE": 5}, ID=sale_id), record_sales, [right], SHOP)

    sale = Sale.objects.get()
    assert (list(outcome.result().ids), outcome.result().duplicates) == ([sale.pk], {0})


def test_a_correction_beside_folds_counts_once():
    ids = store(*({"CATEGORY": "bags", "REVENUE": number} for number in range(60)))
    ended = threading.Event()

    def fold():
        while not ended.is_set():
            folding.fold_all()
        connection.close()

    with ThreadPoolExecutor(1) as pool:
        folds = pool.submit(fold)
        try:
            for number, sale_id in enumerate(ids):
                correct(replace({"CATEGORY": "shoes", "REVENUE": 7}, ID=sale_id) if number % 2 else void(ID=sale_id))
                assert verification.verify() == []
        finally:
            ended.set()
        folds.result()
    assert Sale.objects.count() == 30


def test_a_failure_of_the_fold_undoes_no_correction(monkeypatch):
    [sale_id] = store({})
    monkeypatch.setattr(folding, "fold_if_due", lambda *_, **__: 1 / 0)

    correct(void(ID=sale_id))

    assert not Sale.objects.exists()
