"""Rejected events are stored exactly as sent, can be edited, and are replayed once."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from django.db import connection

from sales.ingest.rejection import MAX_REASON_LENGTH, short_reason
from sales.ingest.schema import EXAMPLE, validate_event
from sales.ingest.writer import record_sales
from sales.models import EventId, RejectedEvent, Sale
from sales.rejected import replay
from sales.rejected.replay import EDITED, ReplayResult, find_errors, save_edit
from sales.tests.helpers import EVENT, rejected_event, sale_event
from sales.totals import verification
from sales.totals.ledger import Origin
from salesengine.tests.clients import post


@pytest.mark.django_db
class TestStoringRejectedEvents:
    @pytest.mark.parametrize(
        "text",
        [
            b'{"REVENUE": 1.50,  "REVENUE": 2}',
            b'{"\\u0000": "\\u0000"}',
            b'{"%s": 1}' % (b"long" * 10_000),
            b'{"ID_ORDER":"\xff"}',
            b"[" * 150 + b"]" * 150,
        ],
    )
    def test_any_text_is_stored_exactly_as_sent(self, api, text):
        assert post(api, b"[" + text + b"]", query="?on_error=skip").status_code == 207

        assert bytes(RejectedEvent.objects.get().content) == text

    def test_an_event_with_an_extra_field_of_any_name_is_stored(self, api, event):
        names = ["\0", "x" * 100_000, "\N{PILE OF POO}"]

        assert post(api, [event | {name: 1} for name in names], query="?on_error=skip").status_code == 207

        assert set(RejectedEvent.objects.values_list("reason", flat=True)) == {"unknown field"}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({**EXAMPLE, "REVENUE": "much"}, "REVENUE must be a number"),
        ({**EXAMPLE, "DATE_PAYMENT": "2021-02-30"}, "DATE_PAYMENT is not a valid date and time"),
        ({**EXAMPLE, "BRND": "x"}, "unknown field"),
        (7, "must be an object with the fields of a sale event"),
        (dict.fromkeys(map(str, range(17))), "must have only the fields of a sale event"),
    ],
)
def test_the_same_error_gives_the_same_reason(value, reason):
    assert short_reason(validate_event(value)) == reason


def test_a_reason_is_truncated():
    assert len(short_reason(validate_event({**EXAMPLE, "CATEGORY": "toys"}))) == MAX_REASON_LENGTH


@pytest.mark.django_db
class TestReplay:
    def test_an_event_that_is_valid_now_is_stored(self):
        rejected = rejected_event()

        assert replay.replay([rejected.pk], "ann") == ReplayResult(stored=1)

        rejected.refresh_from_db()
        sale = Sale.objects.get()
        assert (rejected.sale_id, rejected.replayed_by) == (sale.pk, "ann")
        assert rejected.replayed_at is not None
        assert (sale.id_order, str(sale.revenue)[:8]) == (EXAMPLE["ID_ORDER"], "57.27456")

    def test_it_is_stored_once_however_often_it_is_replayed(self):
        rejected = rejected_event()

        results = [replay.replay([rejected.pk, rejected.pk], "ann") for _ in range(3)]

        assert results == [ReplayResult(stored=1), ReplayResult(gone=1), ReplayResult(gone=1)]
        assert Sale.objects.count() == 1

    def test_the_edited_text_is_replayed_and_the_original_stays(self):
        rejected = rejected_event({**EXAMPLE, "REVENUE": "much"})
        edited = EVENT.replace('"57.27456"', "0.10000000000000000001")

        assert save_edit(rejected.pk, edited)
        assert replay.replay([rejected.pk], "ann") == ReplayResult(stored=1)

        rejected.refresh_from_db()
        assert json.loads(bytes(rejected.content))["REVENUE"] == "much"
        assert rejected.edited == edited
        assert f"{Sale.objects.get().revenue:f}" == "0.10000000000000000001"

    def test_an_event_that_is_still_invalid_keeps_waiting_with_its_current_errors(self):
        rejected = rejected_event({**EXAMPLE, "REVENUE": "much"}, reason="old", errors=[])

        assert replay.replay([rejected.pk], "ann") == ReplayResult(invalid=1)

        rejected.refresh_from_db()
        assert (rejected.replayed_at, rejected.replayed_by, rejected.reason) == (None, None, "REVENUE must be a number")
        assert rejected.errors == [{"pointer": "/REVENUE", "detail": "must be a number, such as 57.27456"}]
        assert not Sale.objects.exists()

    def test_one_replay_stores_the_valid_events_and_leaves_the_others(self):
        rows = [rejected_event(content) for content in (EVENT, "{", b"\xff", {}, {**EXAMPLE, "\0": 1}, EVENT)]

        assert replay.replay([row.pk for row in rows], "ann") == ReplayResult(stored=2, invalid=4)
        assert Sale.objects.count() == 2

    def test_it_is_stored_as_an_event_of_its_original_sender(self):
        event = {**EXAMPLE, "EVENT_ID": "e-1"}
        shop_row, warehouse_row = rejected_event(event, "shop"), rejected_event(event, "warehouse")
        first = record_sales([sale_event(EVENT_ID="e-1")], Origin("shop")).ids

        assert replay.replay([warehouse_row.pk, shop_row.pk], "ann") == ReplayResult(stored=1, duplicates=1)

        shop_row.refresh_from_db()
        warehouse_row.refresh_from_db()
        assert shop_row.sale_id == first[0] != warehouse_row.sale_id
        assert None not in (shop_row.replayed_at, warehouse_row.sale_id)

    def test_the_same_event_rejected_twice_is_one_sale(self):
        rows = [rejected_event({**EXAMPLE, "EVENT_ID": "e-1"}) for _ in range(2)]

        assert replay.replay([row.pk for row in rows], "ann") == ReplayResult(stored=1, duplicates=1)
        assert len(set(RejectedEvent.objects.values_list("sale_id", flat=True))) == Sale.objects.count() == 1

    def test_a_conflict_stays_rejected(self):
        record_sales([sale_event(EVENT_ID="e-1", REVENUE=1)], Origin("shop"))
        rejected = rejected_event({**EXAMPLE, "EVENT_ID": "e-1"})

        assert replay.replay([rejected.pk], "ann") == ReplayResult(invalid=1)

        rejected.refresh_from_db()
        assert (rejected.replayed_at, rejected.reason) == (None, "EVENT_ID was sent before with other content")

    def test_the_older_of_two_versions_of_an_event_is_stored(self, monkeypatch):
        monkeypatch.setattr(replay, "BATCH_SIZE", 1)
        first, second = (rejected_event({**EXAMPLE, "EVENT_ID": "e-1", "ID_ORDER": order}) for order in "12")

        assert replay.replay([second.pk, first.pk], "ann") == ReplayResult(stored=1, invalid=1)
        assert Sale.objects.get().id_order == "1"

    def test_a_deleted_event_is_counted_as_gone(self):
        assert replay.replay([10**9], "ann") == ReplayResult(gone=1)

    def test_events_for_several_transactions_are_all_replayed(self, monkeypatch):
        monkeypatch.setattr(replay, "BATCH_SIZE", 3)
        monkeypatch.setattr(replay, "FETCH_SIZE", 2)
        rows = [rejected_event(EVENT if number % 3 else "{") for number in range(10)]

        assert replay.replay([row.pk for row in rows], "ann") == ReplayResult(stored=6, invalid=4)


@pytest.mark.django_db
class TestEditing:
    def test_saved_text_is_checked_for_errors(self):
        rejected = rejected_event("{}")

        assert save_edit(rejected.pk, "{")
        rejected.refresh_from_db()
        assert (rejected.edited, rejected.reason) == ("{", "is not valid JSON in UTF-8")

        assert save_edit(rejected.pk, EVENT)
        rejected.refresh_from_db()
        assert (rejected.edited, rejected.reason, rejected.errors) == (EVENT, EDITED, [])
        assert not Sale.objects.exists()

    def test_a_replayed_event_cannot_be_edited(self):
        rejected = rejected_event()
        replay.replay([rejected.pk], "ann")

        assert not save_edit(rejected.pk, "{}")
        assert RejectedEvent.objects.get().edited is None

    def test_a_conflict_is_an_error_and_checking_stores_nothing(self):
        record_sales([sale_event(EVENT_ID="e-1", REVENUE=1)], Origin("shop"))
        text = json.dumps({**EXAMPLE, "EVENT_ID": "e-1"}).encode()

        assert [error["pointer"] for error in find_errors(text, "shop")] == ["/EVENT_ID"]
        assert find_errors(text, "warehouse") == []
        assert Sale.objects.count() == EventId.objects.count() == 1


@pytest.mark.django_db(transaction=True)
class TestConcurrency:
    def test_concurrent_replays_store_each_event_once(self, monkeypatch):
        monkeypatch.setattr(replay, "BATCH_SIZE", 7)
        events = [{**EXAMPLE, "EVENT_ID": f"e-{number % 30}"} if number % 2 else EXAMPLE for number in range(60)]
        ids = [rejected_event(event, sender=f"shop {number % 3}").pk for number, event in enumerate(events)]
        barrier = threading.Barrier(8)

        def replay_all(number):
            barrier.wait()
            result = replay.replay(ids[number:] + ids[:number], f"user {number}")
            connection.close()
            return result

        with ThreadPoolExecutor(8) as users:
            results = list(users.map(replay_all, range(8)))

        # Odd numbers n and n + 30 share their EVENT_ID, and also their sender, because 30 is divisible by 3.
        assert sum(result.stored for result in results) == Sale.objects.count() == 45
        assert sum(result.duplicates for result in results) == 15
        assert sum(result.gone for result in results) == 7 * 60
        assert not RejectedEvent.objects.filter(sale_id=None).exists()
        assert verification.verify() == []

    def test_a_crash_before_the_commit_stores_nothing(self, monkeypatch):
        rejected = rejected_event()
        mark_replayed = replay._mark_replayed

        def crash(*arguments):
            mark_replayed(*arguments)
            raise SystemExit

        monkeypatch.setattr(replay, "_mark_replayed", crash)
        with pytest.raises(SystemExit):
            replay.replay([rejected.pk], "ann")
        monkeypatch.undo()
        assert not Sale.objects.exists()

        assert replay.replay([rejected.pk], "ann") == ReplayResult(stored=1)
        assert Sale.objects.count() == 1

    def test_an_edit_waits_for_a_replay_and_then_changes_nothing(self):
        """An edit that overwrote the replayed state would let the event be stored a second time."""
        rejected = rejected_event()

        def edit():
            saved = save_edit(rejected.pk, "{}")
            connection.close()
            return saved

        with ThreadPoolExecutor(1) as colleague:
            with replay.transaction.atomic():
                replay.replay([rejected.pk], "ann")
                saved = colleague.submit(edit)
                assert not wait([saved], timeout=0.5).done
            assert saved.result() is False

        assert replay.replay([rejected.pk], "ann") == ReplayResult(gone=1)
        assert RejectedEvent.objects.get().edited is None
