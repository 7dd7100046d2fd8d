"""Archives beside writers and readers: nobody waits for long, and nobody finds a month in neither place."""

import threading
from types import SimpleNamespace

import pytest
from django.db import transaction

from sales.archiving import moving
from sales.archiving.moving import archive_lock, archive_month
from sales.archiving.restoring import restore_month
from sales.archiving.tests.helpers import make_only
from sales.corrections import voiding
from sales.corrections.tests.helpers import correct, void
from sales.ingest.writer import record_sales
from sales.models import ArchivedMonth, Sale
from sales.partitions import making
from sales.partitions.months import Month
from sales.tests.helpers import sale_event
from sales.totals import verification
from sales.totals.isolation import consistent_sales, snapshot
from sales.totals.tests.threads import in_another_thread, together
from salesengine.backups.manifests import BackupError
from salesengine.tests.servers import wait_until, waiting_at_most

pytestmark = pytest.mark.django_db(transaction=True)
JANUARY = Month(2021, 1)


@pytest.fixture(autouse=True)
def sale_id():
    make_only("2021-01-01", "2021-02-01")
    [sale_id] = record_sales([sale_event()]).ids
    return sale_id


def test_clients_send_sales_while_an_archive_waits_for_a_reader(tmp_path, monkeypatch):
    waits, ended = [], threading.Event()
    monkeypatch.setattr(moving, "time", SimpleNamespace(sleep=waits.append))

    def read():
        with transaction.atomic():
            assert Sale.objects.count() == 1  # a report, for example
            ended.wait(60)

    with together((read,), (archive_month, JANUARY, tmp_path)):
        wait_until(lambda: waits)
        with waiting_at_most("5s"):
            record_sales([sale_event(DATE_PAYMENT="2021-02-07")])
        ended.set()

    assert (ArchivedMonth.objects.count(), Sale.objects.count()) == (1, 1)


@pytest.mark.parametrize("readers", [snapshot, consistent_sales])
def test_an_archive_gives_up_when_readers_never_pause(readers, tmp_path, monkeypatch):
    monkeypatch.setattr(moving, "LOCK_ATTEMPTS", 2)
    with readers():  # that have not begun to read the sales
        with pytest.raises(BackupError, match="Other sessions use the sales without a pause"):
            in_another_thread(archive_month, JANUARY, tmp_path)
        assert Sale.objects.count() == 1

    archive_month(JANUARY, tmp_path)

    assert verification.verify() == []


def test_a_sale_that_is_brought_back_at_the_same_moment_can_be_corrected(tmp_path, monkeypatch, sale_id):
    archive_month(JANUARY, tmp_path)

    monkeypatch.setattr(making, "PATIENT_LOCK_TIMEOUT", "50ms")

    def restore_and_find(ids, *_):
        if ids:
            in_another_thread(restore_month, JANUARY, tmp_path)
        return {}

    monkeypatch.setattr(voiding, "find_archived", restore_and_find)

    assert correct(void(ID=sale_id))


def test_one_process_archives_at_a_time():
    with archive_lock(), pytest.raises(BackupError, match="Another process is archiving"):
        in_another_thread(archive_lock().__enter__)
