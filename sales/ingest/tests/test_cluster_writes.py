"""On a cluster, a few events are stored by COPY, with the same results as by the statement for one server."""

import pytest

from sales.ingest import writer
from sales.ingest.writer import record_plain_sales, record_sales
from sales.models import LedgerEntry, Sale
from sales.tests.helpers import sale_event
from sales.totals import verification
from sales.totals.ledger import Origin
from salesengine import distribution

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "singles"])
BAGS, SHOES = Origin("bags", "r1"), Origin("shoes", "r2")


@pytest.fixture(autouse=True)
def cluster(monkeypatch):
    monkeypatch.setattr(distribution, "_answers", {"default": True, "singles": True})
    monkeypatch.setattr(writer, "_store_by_json", None)  # is not called
    monkeypatch.setattr("sales.totals.folding.request_fold", lambda fold: None)


def ids_of_entries():
    """Return the ids of the sales of each entry, by sender."""
    return {
        sender: [number for run in runs for number in range(run.lower, run.upper)]
        for sender, runs in LedgerEntry.objects.values_list("sender", "sale_ids")
    }


def test_each_single_event_belongs_to_the_entry_of_its_sender():
    events = [(sale_event(ID_ORDER=str(number)), BAGS if number % 2 else SHOES) for number in range(5)]

    ids = record_plain_sales(events)

    assert list(Sale.objects.order_by("id").values_list("id", "id_order")) == list(zip(ids, "01234", strict=True))
    assert ids_of_entries() == {"bags": [ids[1], ids[3]], "shoes": [ids[0], ids[2], ids[4]]}
    assert verification.verify() == []


def test_small_batches_and_known_event_ids():
    first = record_sales([sale_event(EVENT_ID="e-1"), sale_event(EVENT_ID="e-2")], BAGS)
    again = record_sales([sale_event(EVENT_ID="e-2"), sale_event(EVENT_ID="e-3")], BAGS)
    known = record_sales([sale_event(EVENT_ID="e-1")], BAGS)

    assert (again.ids[0], again.duplicates, again.accepted) == (first.ids[1], {0}, 1)
    assert (known.duplicates, known.accepted) == ({0}, 0)
    assert list(LedgerEntry.objects.order_by("id").values_list("accepted", "duplicate")) == [(2, 0), (1, 1), (0, 1)]
    assert Sale.objects.count() == 3
    assert verification.verify() == []


def test_a_sale_and_its_entry_were_received_at_the_same_time():
    record_sales([sale_event()], BAGS)

    assert Sale.objects.get().received_at == LedgerEntry.objects.get().received_at
