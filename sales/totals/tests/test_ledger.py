"""Each committed write leaves one entry in the ledger, which a fold stamps with a position."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.utils import timezone

from sales.ingest.writer import COPY_THRESHOLD, record_plain_sales, record_sales
from sales.models import LedgerEntry, RejectedEvent, Sale, Total, VoidedSale
from sales.rejected.replay import replay
from sales.tests.helpers import rejected_event, sale_event
from sales.totals import feedback, folding, verification
from sales.totals.country_totals import figures_by_country
from sales.totals.feedback import FeedbackQuery, top_categories
from sales.totals.ingest_minutes import counts_since
from sales.totals.ledger import Origin
from sales.totals.tests.helpers import country_sales, void
from sales.totals.tests.threads import in_another_thread
from salesengine.tests.clients import post

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "singles"])
COUNTS = ("accepted", "duplicate", "rejected", "voided")


@pytest.fixture(autouse=True)
def only_tests_fold(monkeypatch):
    """Keep writers from folding."""
    monkeypatch.setattr("sales.ingest.writer.fold_if_due", lambda *due: None)


def entry_of(sale_id):
    """Return the entry that brought a sale. The index by `received_at` finds it."""
    [entry] = LedgerEntry.objects.extra(where=["sale_ids @> %s::bigint"], params=[sale_id]).filter(
        voided=0, received_at=Sale.objects.get(pk=sale_id).received_at
    )
    return entry


def positions():
    return list(LedgerEntry.objects.order_by("id").values_list("position", flat=True))


@pytest.mark.parametrize("number", [1, 3, COPY_THRESHOLD + 1])
def test_a_batch_leaves_one_entry_with_its_sender_and_its_source(number):
    ids = record_sales([sale_event()] * number, Origin("shop", "r-1")).ids

    assert {entry_of(sale_id).pk for sale_id in (ids[0], ids[-1])} == {LedgerEntry.objects.get().pk}
    [entry] = LedgerEntry.objects.values("sender", "sources", *COUNTS)
    assert entry == {
        "sender": "shop",
        "sources": ["r-1"],
        "accepted": number,
        "duplicate": 0,
        "rejected": 0,
        "voided": 0,
    }


def test_single_events_that_share_a_commit_leave_one_entry_for_each_sender():
    origins = [Origin("a", "r-1"), Origin("b", "r-2"), Origin("a", "r-3")]
    ids = record_plain_sales([(sale_event(ID_ORDER=origin.source), origin) for origin in origins])

    assert [Sale.objects.get(pk=sale_id).id_order for sale_id in ids] == ["r-1", "r-2", "r-3"]
    assert [entry_of(sale_id).sender for sale_id in ids] == ["a", "b", "a"]
    assert entry_of(ids[0]).sources == ["r-1", "r-3"]
    assert entry_of(ids[1]).sources == ["r-2"]
    folding.fold()
    assert sorted(positions()) in ([1, 3], [2, 3])
    assert verification.verify() == []


def test_a_batch_counts_its_accepted_duplicate_and_rejected_events_in_one_entry(api, event):
    post(api, event | {"EVENT_ID": "e-1"})
    sent = [event | {"EVENT_ID": "e-1"}, event, {}, event | {"EVENT_ID": "e-1", "BRAND": "other"}]

    response = post(api, sent, query="?on_error=skip", **{"X-Request-Id": "r-7"})

    assert response.json()["rejected"] == 2
    entry = LedgerEntry.objects.order_by("id").values_list("sources", *COUNTS).last()
    assert entry == (["r-7"], 1, 1, 2, 0)


def test_a_batch_of_rejected_events_leaves_an_entry_without_sales(api):
    post(api, [{}, {}], query="?on_error=skip")

    folding.fold()

    assert LedgerEntry.objects.values_list("position", *COUNTS).get() == (0, 0, 0, 2, 0)
    assert tuple(counts_since(timezone.now())) == (0, 0, 2)


def test_a_replay_is_the_source_of_its_sales():
    rejected_event()

    replay(RejectedEvent.objects.values_list("pk", flat=True), "jo")

    assert LedgerEntry.objects.values_list("sender", "sources", *COUNTS).get() == ("shop", ["replay by jo"], 1, 0, 0, 0)


def test_a_failed_or_empty_write_leaves_no_entry(api, event):
    post(api, [event, {}])
    post(api, [event], query="?dry_run=true")
    record_sales([])

    assert not LedgerEntry.objects.exists()


def test_positions_count_the_changes_in_the_order_of_the_entries():
    first = record_sales([sale_event()] * 3).ids
    record_sales([sale_event(EVENT_ID="e-1")])
    record_sales([sale_event(EVENT_ID="e-1")])  # a duplicate changes nothing
    folding.fold()
    void(*first[:2])
    record_sales([sale_event()])
    folding.fold()

    assert positions() == [3, 4, 4, 6, 7]
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM ledger WHERE tallies IS NOT NULL")
        assert cursor.fetchone() == (0,), "tallies are dropped"


def test_an_entry_that_commits_late_gets_a_later_position():
    with transaction.atomic():
        record_sales([sale_event()])
        in_another_thread(record_sales, [sale_event()])
        in_another_thread(folding.fold)

    folding.fold()

    assert positions() == [2, 1]


@pytest.mark.parametrize("folds", ["none", "before", "after", "both"])
def test_voided_sales_leave_every_figure(folds):
    wrong = record_sales([sale_event(CATEGORY="bags", ID_SELLER_COUNTRY="7", REVENUE="0.1")] * 2).ids
    record_sales([sale_event(CATEGORY="shoes")])
    before = feedback.watermark()
    if folds in ("before", "both"):
        folding.fold()
    void(*wrong)
    if folds in ("after", "both"):
        folding.fold()

    assert [row.category for row in top_categories(FeedbackQuery())] == ["shoes"]
    assert {key: figures for key, figures in country_sales().items() if figures[0]} == {
        ("01-07", "203", "170"): (1, Decimal("57.27456"))
    }
    countries = figures_by_country()
    assert countries.named.keys() | countries.unnamed.keys() == {"203", "170"}
    assert feedback.watermark().sales == 1
    assert feedback.watermark().received_at > before.received_at
    assert verification.verify() == []
    assert counts_since(timezone.now()).accepted == 3, "they were received"


def test_a_merge_drops_the_rows_of_voided_sales(monkeypatch):
    monkeypatch.setattr(folding, "DAYS_TO_MERGE", folding.DAYS_TO_MERGE.replace("1000", "1"))
    wrong = record_sales([sale_event()]).ids
    folding.fold()
    void(*wrong)
    folding.fold()

    assert country_sales() == {}
    assert verification.verify() == []


def test_a_repair_keeps_the_time_of_the_newest_void():
    wrong = record_sales([sale_event()] * 2).ids
    void(wrong[0])
    before = feedback.watermark()
    Total.objects.update(sales_count=7)

    verification.repair()

    assert verification.verify() == []
    assert feedback.watermark() == before


def test_entries_older_than_the_retention_are_deleted_except_the_last_position(settings):
    for _ in range(3):
        record_sales([sale_event()])
    folding.fold()
    LedgerEntry.objects.update(received_at=timezone.now() - settings.LEDGER_RETENTION - timedelta(hours=1))
    record_sales([sale_event(EVENT_ID="e-1")])
    folding.fold()
    assert positions() == [4]

    LedgerEntry.objects.update(received_at=timezone.now() - settings.LEDGER_RETENTION - timedelta(hours=1))
    record_sales([sale_event(EVENT_ID="e-1")])
    folding.fold()
    assert positions() == [4, 4]
    assert verification.verify() == []


def test_entries_are_deleted_only_up_to_the_first_that_is_kept(settings):
    for _ in range(4):
        record_sales([sale_event()])
    folding.fold()
    old = timezone.now() - settings.LEDGER_RETENTION - timedelta(hours=1)
    LedgerEntry.objects.exclude(position=2).update(received_at=old)
    record_sales([sale_event()])
    folding.fold()

    assert positions() == [2, 3, 4, 5]


def test_a_voided_sale_keeps_its_id_and_the_time_it_was_received():
    [sale_id] = record_sales([sale_event()]).ids
    received_at = Sale.objects.get(pk=sale_id).received_at

    void(sale_id)

    assert not Sale.objects.exists()
    assert VoidedSale.objects.get(pk=sale_id).received_at == received_at
