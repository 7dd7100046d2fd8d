"""How many events came in lately: accepted, duplicate and rejected."""

import datetime
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.utils import timezone

from sales.ingest.writer import COPY_THRESHOLD, record_plain_sales, record_sales
from sales.models import DuplicateJournalEntry, IngestMinute, JournalEntry
from sales.rejected.replay import find_mistakes
from sales.tests.helpers import refusing, rejected_event, sale_event
from sales.totals import feedback
from sales.totals import minutes as ingest_counts
from sales.totals.minutes import KEPT_FOR, counts_since
from sales.totals.tests.test_histories import together
from salesengine.tests.clients import post
from salesengine.tests.servers import waiting_at_most

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "singles"])
HOUR = datetime.timedelta(hours=1)


def counts():
    """(accepted, duplicate, rejected) of the last hour."""
    return tuple(counts_since(timezone.now() - HOUR))


@pytest.fixture
def no_folds(monkeypatch):
    """Only tests fold."""
    monkeypatch.setattr(feedback, "FOLD_EVERY", 10**9)


@pytest.mark.parametrize("folded", [False, True])
def test_what_is_accepted_is_counted_whatever_way_it_is_written(no_folds, folded):
    record_sales([sale_event(CATEGORY=category) for category in ("bags", "bags", None)])
    record_plain_sales([sale_event()])
    record_sales([sale_event()] * (COPY_THRESHOLD + 1))
    record_sales([sale_event(EVENT_ID="e-1")])
    if folded:
        feedback.fold()

    assert JournalEntry.objects.exists() is not folded
    assert counts() == (3 + 1 + COPY_THRESHOLD + 1 + 1, 0, 0)


@pytest.mark.parametrize("folded", [False, True])
def test_duplicates_are_counted_and_are_not_accepted(no_folds, folded):
    events = [sale_event(EVENT_ID="e-1"), sale_event(EVENT_ID="e-2"), sale_event(EVENT_ID="e-1")]
    record_sales(events)
    record_sales(events)
    if folded:
        feedback.fold()

    assert DuplicateJournalEntry.objects.exists() is not folded
    assert counts() == (2, 4, 0)


def test_what_is_rejected_and_kept_is_counted(api, event):
    post(api, [event, {}, {}], query="?on_error=skip")

    assert counts() == (1, 0, 2)


def test_rejected_events_are_counted_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(ingest_counts, "MOST_COUNTED", 3)
    for position in range(5):
        rejected_event(position=position)

    assert counts() == (0, 0, 3)


def test_a_request_that_comes_again_under_its_key_brings_no_duplicates(api, event):
    for _ in range(3):
        post(api, [event, event | {"EVENT_ID": "e-1"}], **{"Idempotency-Key": "k-1"})

    assert counts() == (2, 0, 0)


def test_rehearsals_and_refusals_are_not_counted(api, event):
    post(api, event | {"EVENT_ID": "e-1"})
    post(api, [event | {"EVENT_ID": "e-1"}, event], query="?dry_run=true")
    post(api, [event | {"EVENT_ID": "e-1"}, event | {"EVENT_ID": "e-1", "BRAND": "other"}])
    record_sales([sale_event(EVENT_ID="e-1")], "shop")

    assert find_mistakes(json.dumps(event | {"EVENT_ID": "e-1"}).encode(), "shop") == []
    assert counts() == (2, 0, 0)


def test_what_came_before_the_minute_is_not_counted(no_folds):
    now = timezone.now()
    for table in (JournalEntry, DuplicateJournalEntry):
        record_sales([sale_event(EVENT_ID="e-1")])
        table.objects.update(received_at=now.replace(second=0, microsecond=0) - datetime.timedelta(microseconds=1))
    before = counts_since(now)
    feedback.fold()

    assert before == counts_since(now) == (0, 0, 0)
    assert counts() == (1, 1, 0)


def test_a_minute_is_counted_from_its_beginning_on(no_folds):
    record_sales([sale_event()])
    moment = datetime.datetime(2021, 1, 7, 12, 30, tzinfo=datetime.UTC)
    JournalEntry.objects.update(received_at=moment)

    assert counts_since(moment + datetime.timedelta(seconds=59)).accepted == 1
    assert counts_since(moment + datetime.timedelta(seconds=60)).accepted == 0


def test_a_fold_adds_to_the_minutes_there_are_and_forgets_old_ones(no_folds):
    record_sales([sale_event()])
    feedback.fold()
    IngestMinute.objects.update(minute=timezone.now() - KEPT_FOR - datetime.timedelta(minutes=1))
    for _ in range(2):
        record_sales([sale_event()] * 2)
        feedback.fold()

    assert sum(IngestMinute.objects.values_list("accepted", flat=True)) == 4


def test_events_that_are_only_sent_again_keep_their_journal_short(monkeypatch):
    monkeypatch.setattr(feedback, "FOLD_EVERY", 8)
    for _ in range(30):
        record_sales([sale_event(EVENT_ID="e-1")])

    assert DuplicateJournalEntry.objects.count() < 8
    assert counts() == (1, 29, 0)


@pytest.mark.parametrize("number", [1, COPY_THRESHOLD + 1])
def test_a_batch_that_fails_leaves_no_count_behind(number):
    record_sales([sale_event(EVENT_ID="e-1")])
    events = [sale_event(EVENT_ID="e-1")] + [sale_event(EVENT_ID=f"e-{place + 2}") for place in range(number)]
    with refusing("duplicate_journal", "false"), pytest.raises(DatabaseError):
        record_sales(events)

    assert counts() == (1, 0, 0)
    assert record_sales(events).accepted == number


def test_a_repair_keeps_what_is_still_in_the_journal(no_folds):
    record_sales([sale_event(), sale_event(EVENT_ID="e-1")])
    feedback.fold()
    record_sales([sale_event(), sale_event(EVENT_ID="e-1")])

    feedback.repair()

    assert not JournalEntry.objects.exists()
    assert counts() == (3, 1, 0)


def test_readers_see_whole_batches_whatever_is_folded_meanwhile():
    """Each batch has one new event for one duplicate: a reader that saw a fold half done would see another number."""
    record_sales([sale_event(EVENT_ID="e-0")])
    ended, faults, seen = threading.Event(), [], []

    def write(start):
        for number in range(start, start + 100):
            record_sales([sale_event(EVENT_ID="e-0"), sale_event(EVENT_ID=f"e-{number}")])

    def fold():
        while not ended.is_set():
            feedback.fold()

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


def test_nobody_waits_for_a_fold_to_note_duplicates(no_folds):
    record_sales([sale_event(EVENT_ID="e-1")])
    record_sales([sale_event(EVENT_ID="e-1")])

    def send():
        try:
            with waiting_at_most("1s"):
                return record_sales([sale_event(EVENT_ID="e-1")]).duplicates
        finally:
            connection.close()

    with feedback.snapshot(), connection.cursor() as cursor, ThreadPoolExecutor(1) as other:
        assert feedback.may_fold(cursor)
        ingest_counts.fold([])
        assert other.submit(send).result() == {0}


def test_the_upgrade_counts_what_was_accepted_before(no_folds):
    record_sales([sale_event()] * 3)
    feedback.fold()
    record_sales([sale_event()] * 2)
    call_command("migrate", "sales", "0007", verbosity=0)

    call_command("migrate", verbosity=0)

    assert sum(IngestMinute.objects.values_list("accepted", flat=True)) == 3
    assert counts() == (5, 0, 0)
