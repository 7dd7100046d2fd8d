"""Rejected events are kept as they came, and replayed once."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from django.db import connection

from sales.ingest.rejection import LONGEST_REASON, reason_of
from sales.ingest.schema import EXAMPLE, validate_event
from sales.ingest.writer import record_sales
from sales.models import EventId, RejectedEvent, Sale
from sales.rejected import replay
from sales.rejected.display import current_text
from sales.rejected.replay import MENDED, ReplayResult, find_mistakes, mend
from sales.tests.helpers import EVENT, rejected_event, sale_event
from sales.totals import feedback_verification
from salesengine.tests.clients import post


@pytest.mark.django_db
class TestKeeping:
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
    def test_whatever_came_is_kept_as_it_came(self, api, text):
        assert post(api, b"[" + text + b"]", query="?on_error=skip").status_code == 207

        assert bytes(RejectedEvent.objects.get().content) == text

    def test_a_field_of_any_name_in_a_good_event_is_kept(self, api, event):
        names = ["\0", "x" * 100_000, "\N{PILE OF POO}"]

        assert post(api, [event | {name: 1} for name in names], query="?on_error=skip").status_code == 207

        assert set(RejectedEvent.objects.values_list("reason", flat=True)) == {"a field that no sale event has"}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({**EXAMPLE, "REVENUE": "much"}, "REVENUE must be a number"),
        ({**EXAMPLE, "DATE_PAYMENT": "2021-02-30"}, "DATE_PAYMENT is no date and time"),
        ({**EXAMPLE, "BRND": "x"}, "a field that no sale event has"),
        (7, "must be an object with the fields of a sale event"),
        (dict.fromkeys(map(str, range(17))), "must have only the fields of a sale event"),
    ],
)
def test_the_reason_is_the_same_for_the_same_mistake(value, reason):
    assert reason_of(validate_event(value)) == reason


def test_a_reason_is_short():
    assert len(reason_of(validate_event({**EXAMPLE, "CATEGORY": "toys"}))) == LONGEST_REASON


@pytest.mark.django_db
class TestReplay:
    def test_an_event_that_is_good_by_now_is_stored(self):
        rejected = rejected_event()

        assert replay.replay([rejected.pk], "ann") == ReplayResult(stored=1)

        rejected.refresh_from_db()
        sale = Sale.objects.get()
        assert (rejected.sale_id, rejected.replayed_by) == (sale.pk, "ann")
        assert rejected.replayed_at is not None
        assert (sale.id_order, str(sale.revenue)[:8]) == (EXAMPLE["ID_ORDER"], "57.27456")

    def test_it_is_stored_once_however_often_it_is_asked_for(self):
        rejected = rejected_event()

        outcomes = [replay.replay([rejected.pk, rejected.pk], "ann") for _ in range(3)]

        assert outcomes == [ReplayResult(stored=1), ReplayResult(gone=1), ReplayResult(gone=1)]
        assert Sale.objects.count() == 1

    def test_what_is_mended_is_replayed_and_what_came_stays(self):
        rejected = rejected_event({**EXAMPLE, "REVENUE": "much"})
        mended = EVENT.replace('"57.27456"', "0.10000000000000000001")

        assert mend(rejected.pk, mended)
        assert replay.replay([rejected.pk], "ann") == ReplayResult(stored=1)

        rejected.refresh_from_db()
        assert json.loads(bytes(rejected.content))["REVENUE"] == "much"
        assert rejected.mended == mended
        assert f"{Sale.objects.get().revenue:f}" == "0.10000000000000000001"

    def test_what_is_still_wrong_keeps_waiting_with_what_is_wrong_now(self):
        rejected = rejected_event({**EXAMPLE, "REVENUE": "much"}, reason="old", errors=[])

        assert replay.replay([rejected.pk], "ann") == ReplayResult(wrong=1)

        rejected.refresh_from_db()
        assert (rejected.replayed_at, rejected.replayed_by, rejected.reason) == (None, None, "REVENUE must be a number")
        assert rejected.errors == [{"pointer": "/REVENUE", "detail": "must be a number, such as 57.27456"}]
        assert not Sale.objects.exists()

    def test_good_ones_are_stored_and_bad_ones_are_not_in_one_go(self):
        rows = [rejected_event(content) for content in (EVENT, "{", b"\xff", {}, {**EXAMPLE, "\0": 1}, EVENT)]

        assert replay.replay([row.pk for row in rows], "ann") == ReplayResult(stored=2, wrong=4)
        assert Sale.objects.count() == 2

    def test_it_is_sent_again_by_its_first_sender(self):
        event = {**EXAMPLE, "EVENT_ID": "e-1"}
        of_shop, of_warehouse = rejected_event(event, "shop"), rejected_event(event, "warehouse")
        first = record_sales([sale_event(EVENT_ID="e-1")], "shop").ids

        assert replay.replay([of_warehouse.pk, of_shop.pk], "ann") == ReplayResult(stored=1, duplicates=1)

        of_shop.refresh_from_db()
        of_warehouse.refresh_from_db()
        assert of_shop.sale_id == first[0] != of_warehouse.sale_id
        assert None not in (of_shop.replayed_at, of_warehouse.sale_id)

    def test_the_same_event_rejected_twice_is_one_sale(self):
        rows = [rejected_event({**EXAMPLE, "EVENT_ID": "e-1"}) for _ in range(2)]

        assert replay.replay([row.pk for row in rows], "ann") == ReplayResult(stored=1, duplicates=1)
        assert len(set(RejectedEvent.objects.values_list("sale_id", flat=True))) == Sale.objects.count() == 1

    def test_a_conflict_stays_rejected(self):
        record_sales([sale_event(EVENT_ID="e-1", REVENUE=1)], "shop")
        rejected = rejected_event({**EXAMPLE, "EVENT_ID": "e-1"})

        assert replay.replay([rejected.pk], "ann") == ReplayResult(wrong=1)

        rejected.refresh_from_db()
        assert (rejected.replayed_at, rejected.reason) == (None, "EVENT_ID was sent before with other contents")

    def test_of_two_versions_the_one_that_came_first_is_stored(self, monkeypatch):
        monkeypatch.setattr(replay, "AT_ONCE", 1)
        first, second = (rejected_event({**EXAMPLE, "EVENT_ID": "e-1", "ID_ORDER": order}) for order in "12")

        assert replay.replay([second.pk, first.pk], "ann") == ReplayResult(stored=1, wrong=1)
        assert Sale.objects.get().id_order == "1"

    def test_an_event_that_is_gone_is_no_failure(self):
        assert replay.replay([10**9], "ann") == ReplayResult(gone=1)

    def test_more_than_fit_into_one_transaction_are_all_replayed(self, monkeypatch):
        monkeypatch.setattr(replay, "AT_ONCE", 3)
        monkeypatch.setattr(replay, "IN_MEMORY", 2)
        rows = [rejected_event(EVENT if number % 3 else "{") for number in range(10)]

        assert replay.replay([row.pk for row in rows], "ann") == ReplayResult(stored=6, wrong=4)


@pytest.mark.django_db
class TestMending:
    def test_what_is_saved_is_looked_at_for_mistakes(self):
        rejected = rejected_event("{}")

        assert mend(rejected.pk, "{")
        rejected.refresh_from_db()
        assert (rejected.mended, rejected.reason) == ("{", "is not valid JSON in UTF-8")

        assert mend(rejected.pk, EVENT)
        rejected.refresh_from_db()
        assert (rejected.mended, rejected.reason, rejected.errors) == (EVENT, MENDED, [])
        assert not Sale.objects.exists()

    def test_what_is_replayed_cannot_be_mended(self):
        rejected = rejected_event()
        replay.replay([rejected.pk], "ann")

        assert not mend(rejected.pk, "{}")
        assert RejectedEvent.objects.get().mended is None

    def test_a_conflict_is_a_mistake_and_looking_stores_nothing(self):
        record_sales([sale_event(EVENT_ID="e-1", REVENUE=1)], "shop")
        text = json.dumps({**EXAMPLE, "EVENT_ID": "e-1"}).encode()

        assert [error["pointer"] for error in find_mistakes(text, "shop")] == ["/EVENT_ID"]
        assert find_mistakes(text, "warehouse") == []
        assert Sale.objects.count() == EventId.objects.count() == 1


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b'{"b":1.50,"a":1E+3,"b":-0.00}', '{\n  "b": 1.50,\n  "a": 1E+3,\n  "b": -0.00\n}'),
        (b'{"a": 1,}', '{"a": 1,}'),
        (b"[" * 5_000, "[" * 5_000),
        (b'{"a":\r\n \xff\x00}', '{"a":\n \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}}'),
        (b'"' + b"x" * 200_000, ""),
    ],
)
def test_json_is_laid_out_and_anything_else_is_shown_as_it_came(content, shown):
    text, note = current_text(RejectedEvent(content=content))

    assert text == shown
    assert bool(note) == (not shown or "\N{REPLACEMENT CHARACTER}" in shown)


@pytest.mark.django_db(transaction=True)
class TestConcurrency:
    def test_many_who_click_at_once_store_each_event_once(self, monkeypatch):
        monkeypatch.setattr(replay, "AT_ONCE", 7)
        events = [{**EXAMPLE, "EVENT_ID": f"e-{number % 30}"} if number % 2 else EXAMPLE for number in range(60)]
        ids = [rejected_event(event, sender=f"shop {number % 3}").pk for number, event in enumerate(events)]
        barrier = threading.Barrier(8)

        def click(number):
            barrier.wait()
            outcome = replay.replay(ids[number:] + ids[:number], f"user {number}")
            connection.close()
            return outcome

        with ThreadPoolExecutor(8) as users:
            outcomes = list(users.map(click, range(8)))

        # The odd numbers below 30 and from 30 on share their EVENT_IDs, and their senders too: 30 is divisible by 3.
        assert sum(outcome.stored for outcome in outcomes) == Sale.objects.count() == 45
        assert sum(outcome.duplicates for outcome in outcomes) == 15
        assert sum(outcome.gone for outcome in outcomes) == 7 * 60
        assert not RejectedEvent.objects.filter(sale_id=None).exists()
        assert feedback_verification.verify() == []

    def test_a_crash_between_storing_and_noting_it_leaves_nothing(self, monkeypatch):
        rejected = rejected_event()
        settle = replay._settle

        def crash(*arguments):
            settle(*arguments)
            raise SystemExit

        monkeypatch.setattr(replay, "_settle", crash)
        with pytest.raises(SystemExit):
            replay.replay([rejected.pk], "ann")
        monkeypatch.undo()
        assert not Sale.objects.exists()

        assert replay.replay([rejected.pk], "ann") == ReplayResult(stored=1)
        assert Sale.objects.count() == 1

    def test_mending_waits_for_a_replay_and_then_changes_nothing(self):
        """Saved over the note that it was replayed, the event would be stored a second time."""
        rejected = rejected_event()

        def mend_meanwhile():
            kept = mend(rejected.pk, "{}")
            connection.close()
            return kept

        with ThreadPoolExecutor(1) as colleague:
            with replay.transaction.atomic():
                replay.replay([rejected.pk], "ann")
                kept = colleague.submit(mend_meanwhile)
                assert not wait([kept], timeout=0.5).done
            assert kept.result() is False

        assert replay.replay([rejected.pk], "ann") == ReplayResult(gone=1)
        assert RejectedEvent.objects.get().mended is None
