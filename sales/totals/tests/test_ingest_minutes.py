"""Accepted, duplicate and rejected events are counted by minute."""

import datetime
import json
import threading

import pytest
from django.core.management import call_command
from django.db import DatabaseError, transaction
from django.utils import timezone

from sales.ingest.writer import COPY_THRESHOLD, record_sales
from sales.models import IngestMinute, RejectedEvent
from sales.rejected.replay import find_errors, replay
from sales.tests.helpers import refusing, sale_event
from sales.totals import folding, ingest_minutes, verification
from sales.totals.ingest_minutes import RETENTION, counts_since
from sales.totals.ledger import Origin
from sales.totals.tests.helpers import record_singles, unfolded
from sales.totals.tests.threads import in_another_thread, together
from salesengine.tests.clients import post
from salesengine.tests.servers import waiting_at_most

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "singles"])
HOUR = datetime.timedelta(hours=1)


def counts():
    """Return (accepted, duplicate, rejected) for the last hour."""
    return tuple(counts_since(timezone.now() - HOUR))


@pytest.fixture
def only_tests_fold(monkeypatch):
    """Keep writers from folding."""
    monkeypatch.setattr(folding, "FOLD_INTERVAL", 10**9)


@pytest.mark.parametrize("folded", [False, True])
def test_accepted_events_are_counted_for_every_way_to_write(only_tests_fold, folded):
    record_sales([sale_event(CATEGORY=category) for category in ("bags", "bags", None)])
    record_singles([sale_event()])
    record_sales([sale_event()] * (COPY_THRESHOLD + 1))
    record_sales([sale_event(EVENT_ID="e-1")])
    if folded:
        folding.fold()

    assert unfolded().exists() is not folded
    assert counts() == (3 + 1 + COPY_THRESHOLD + 1 + 1, 0, 0)


@pytest.mark.parametrize("folded", [False, True])
def test_duplicates_are_counted_and_not_as_accepted(only_tests_fold, folded):
    events = [sale_event(EVENT_ID="e-1"), sale_event(EVENT_ID="e-2"), sale_event(EVENT_ID="e-1")]
    record_sales(events)
    record_sales(events)
    if folded:
        folding.fold()

    assert unfolded().exists() is not folded
    assert counts() == (2, 4, 0)


def test_stored_rejected_events_are_counted(api, event):
    post(api, [event, {}, {}], query="?on_error=skip")

    assert counts() == (1, 0, 2)


@pytest.mark.parametrize("folded", [False, True])
def test_a_conflict_is_counted_as_rejected_when_it_is_stored(api, event, folded):
    changed = event | {"EVENT_ID": "e-1", "BRAND": "other"}
    post(api, [event | {"EVENT_ID": "e-1"}])
    post(api, [changed, {}], query="?on_error=skip")
    replay(RejectedEvent.objects.values_list("pk", flat=True), "jo")  # both stay rejected, and count once
    if folded:
        folding.fold()

    assert counts() == (1, 0, 2)


def test_a_retry_with_an_idempotency_key_is_not_a_duplicate(api, event):
    for _ in range(3):
        post(api, [event, event | {"EVENT_ID": "e-1"}], **{"Idempotency-Key": "k-1"})

    assert counts() == (2, 0, 0)


def test_dry_runs_and_refused_requests_are_not_counted(api, event):
    post(api, event | {"EVENT_ID": "e-1"})
    post(api, [event | {"EVENT_ID": "e-1"}, event], query="?dry_run=true")
    post(api, [event | {"EVENT_ID": "e-1"}, event | {"EVENT_ID": "e-1", "BRAND": "other"}])
    record_sales([sale_event(EVENT_ID="e-1")], Origin("shop"))

    assert find_errors(json.dumps(event | {"EVENT_ID": "e-1"}).encode(), "shop") == []
    assert counts() == (2, 0, 0)


def test_events_before_the_minute_are_not_counted(only_tests_fold):
    now = timezone.now()
    for _ in range(2):
        record_sales([sale_event(EVENT_ID="e-1")])
    unfolded().update(received_at=now.replace(second=0, microsecond=0) - datetime.timedelta(microseconds=1))
    before = counts_since(now)
    folding.fold()

    assert before == counts_since(now) == (0, 0, 0)
    assert counts() == (1, 1, 0)


def test_a_minute_is_counted_from_its_start(only_tests_fold):
    record_sales([sale_event()])
    timestamp = datetime.datetime(2021, 1, 7, 12, 30, tzinfo=datetime.UTC)
    unfolded().update(received_at=timestamp)

    assert counts_since(timestamp + datetime.timedelta(seconds=59)).accepted == 1
    assert counts_since(timestamp + datetime.timedelta(seconds=60)).accepted == 0


def test_a_fold_adds_to_existing_minutes_and_deletes_expired_ones(only_tests_fold):
    record_sales([sale_event()])
    folding.fold()
    IngestMinute.objects.update(minute=timezone.now() - RETENTION - datetime.timedelta(minutes=1))
    for _ in range(2):
        record_sales([sale_event()] * 2)
        folding.fold()

    assert sum(IngestMinute.objects.values_list("accepted", flat=True)) == 4


@pytest.mark.parametrize("days", [-3, 3])
def test_a_wrong_clock_of_the_service_loses_no_minutes(only_tests_fold, monkeypatch, days):
    record_sales([sale_event(EVENT_ID="e-1")])
    folding.fold()
    record_sales([sale_event(EVENT_ID="e-1"), sale_event()])

    wrong = timezone.now() + datetime.timedelta(days=days)
    with monkeypatch.context() as patch:
        patch.setattr(timezone, "now", lambda: wrong)
        folding.fold()
        since = ingest_minutes.current_minute() - HOUR

    assert counts_since(since) == (2, 1, 0)


def test_entries_with_duplicates_alone_are_folded(monkeypatch):
    monkeypatch.setattr(folding, "FOLD_INTERVAL", 8)
    for _ in range(30):
        record_sales([sale_event(EVENT_ID="e-1")])

    assert unfolded().count() < 8
    assert counts() == (1, 29, 0)


@pytest.mark.parametrize("number", [1, COPY_THRESHOLD + 1])
def test_a_failed_batch_is_not_counted(number):
    record_sales([sale_event(EVENT_ID="e-1")])
    events = [sale_event(EVENT_ID="e-1")] + [sale_event(EVENT_ID=f"e-{index + 2}") for index in range(number)]
    with refusing("ledger", "false"), pytest.raises(DatabaseError):
        record_sales(events)

    assert counts() == (1, 0, 0)
    assert record_sales(events).accepted == number


def test_a_repair_leaves_the_counts_as_they_are(only_tests_fold):
    record_sales([sale_event(), sale_event(EVENT_ID="e-1")])
    folding.fold()
    record_sales([sale_event(), sale_event(EVENT_ID="e-1")])

    verification.repair()

    assert counts() == (3, 1, 0)


def test_readers_see_whole_batches_during_folds():
    """Each batch has one new event and one duplicate, so a reader of half a fold would see unequal numbers."""
    record_sales([sale_event(EVENT_ID="e-0")])
    ended, faults, seen = threading.Event(), [], []

    def write(start):
        for number in range(start, start + 100):
            record_sales([sale_event(EVENT_ID="e-0"), sale_event(EVENT_ID=f"e-{number}")])

    def fold():
        while not ended.is_set():
            folding.fold()

    def read():
        while not ended.is_set():
            accepted, duplicate, _ = counts()
            seen.append(accepted)
            if accepted != duplicate + 1 or accepted < max(seen):
                faults.append((accepted, duplicate))

    with together((fold,), (read,)):
        try:
            with together((write, 1), (write, 1001), (write, 2001)):
                pass
        finally:
            ended.set()

    assert faults == []
    assert counts() == (301, 300, 0)


def test_writers_do_not_wait_for_a_fold_to_record_duplicates(only_tests_fold):
    record_sales([sale_event(EVENT_ID="e-1")])
    record_sales([sale_event(EVENT_ID="e-1")])

    def send():
        with waiting_at_most("1s"):
            return record_sales([sale_event(EVENT_ID="e-1")]).duplicates

    with transaction.atomic():
        assert folding.fold().entries == 2
        assert in_another_thread(send) == {0}


def test_the_migration_counts_the_sales_accepted_before(only_tests_fold):
    record_sales([sale_event()] * 3)
    folding.fold()
    record_sales([sale_event()] * 2)
    call_command("migrate", "sales", "0007", verbosity=0)

    call_command("migrate", verbosity=0)

    assert sum(IngestMinute.objects.values_list("accepted", flat=True)) == 5
    assert counts() == (5, 0, 0)
