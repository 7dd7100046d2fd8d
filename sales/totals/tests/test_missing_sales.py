"""Sales that somebody deletes with SQL before they are folded stop the folds, until a repair takes them out."""

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from sales.changes import feed
from sales.changes.feed import ChangesQuery
from sales.ingest.writer import record_plain_sales, record_sales
from sales.models import LedgerEntry, Sale, VoidedSale
from sales.tests.helpers import sale_event
from sales.totals import folding, verification
from sales.totals.ledger import Origin
from sales.totals.tests.helpers import void

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "singles"])


@pytest.fixture(autouse=True)
def only_tests_fold(monkeypatch):
    monkeypatch.setattr(folding, "request_fold", lambda fold: None)


def delete(table, *sale_ids):
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table} WHERE id = ANY(%s)", [list(sale_ids)])


def entries():
    """Return the changes and the sources of each entry."""
    return list(LedgerEntry.objects.order_by("id").values_list("accepted", "voided", "sources", "position"))


def assert_repaired():
    """Folds run again, no figure differs, and the feed has all changes."""
    verification.repair()
    assert verification.verify() == []
    assert folding.fold().entries
    assert verification.verify() == []
    page = feed.read_page(ChangesQuery(), ",")
    assert page.lines.count('"kind":') == page.next == sum(accepted + voided for accepted, voided, *_ in entries())


def test_the_command_says_which_sales_are_missing_and_repairs_the_ledger(capsys, caplog):
    ids = record_sales([sale_event(REVENUE=revenue) for revenue in range(8)]).ids
    delete("sales", *ids[1:4], ids[6])
    with pytest.raises(OperationalError, match=r"run verify_feedback --repair\."):
        folding.fold()

    with pytest.raises(CommandError, match=r"figures differ from the sales\. Run verify_feedback --repair"):
        call_command("verify_feedback")

    missing = f"{ids[1]}-{ids[3]}, {ids[6]}"
    entry = LedgerEntry.objects.get().pk
    assert capsys.readouterr().out.splitlines()[0] == (
        f"ledger entry {entry}, at which folds stop because of missing sales ({missing}): "
        "stored 8 sales with revenue 28, expected 4 with 16"
    )
    call_command("verify_feedback", "--repair")
    assert f"Took missing sales out of the ledger entry {entry}: {missing}" in caplog.text
    assert_repaired()


def test_a_group_of_singles_keeps_the_sources_of_the_sales_that_remain():
    origins = [Origin("shop", f"r-{number}") for number in range(4)]
    ids = record_plain_sales([(sale_event(), origin) for origin in origins])
    delete("sales", ids[0], ids[2])

    assert_repaired()

    assert entries() == [(2, 0, ["r-1", "r-3"], 2)]


def test_an_entry_may_lose_all_of_its_sales():
    record_sales([sale_event()])
    delete("sales", *record_sales([sale_event()] * 2, Origin("shop", "r-1")).ids)
    record_sales([sale_event()])

    assert_repaired()

    assert entries() == [(1, 0, [""], 1), (0, 0, ["r-1"], 1), (1, 0, [""], 2)]


def test_a_voided_sale_may_be_missing():
    ids = record_sales([sale_event(CATEGORY=category) for category in ("bags", "bags", "shoes")]).ids
    void(ids[0], ids[2])
    delete("voided_sale", ids[0])
    assert [difference.stored[0] for difference in verification.verify()[:2]] == [3, -2]

    assert_repaired()

    assert [entry[:2] for entry in entries()] == [(2, 0), (0, 1)]


def test_a_voided_sale_may_be_missing_whose_sale_is_folded():
    ids = record_sales([sale_event(CATEGORY="bags")] * 2).ids
    folding.fold()
    void(ids[0])
    delete("voided_sale", ids[0])

    verification.repair()

    assert folding.fold().entries == 1
    assert verification.verify() == []
    assert entries()[1][:2] == (0, 0)


def test_what_is_complete_is_left_alone():
    ids = record_sales([sale_event()] * 3).ids
    void(ids[1])
    before = entries()

    assert_repaired()

    assert [entry[:3] for entry in entries()] == [entry[:3] for entry in before]
    assert (Sale.objects.count(), VoidedSale.objects.count()) == (2, 1)
