"""Two batches of a file are written at once, and still stored one after the other."""

from threading import Event

import pytest
from django.db import OperationalError, connection, transaction

from sales.importing import importer
from sales.importing.file_lock import lock_file
from sales.importing.tests.imports import events, failing, import_sales, ndjson, orders, stored_orders
from sales.models import FileImport
from sales.totals.tests.threads import someone_waits, together
from salesengine.tests.servers import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("small_batches")]
STORED = 4  # the first batch, which is written alone


@pytest.fixture
def file(path):
    path.write_text(ndjson(events(0, 30)))
    return path


@pytest.fixture
def third_is_written_first(monkeypatch):
    """Let the second batch wait until the third one is written, and then do what the test says."""
    store_batch, third_is_written, then = importer.store_batch, Event(), []

    def store(batch, checked, origin, options):
        number = batch.lines[0] // STORED
        if number == 1:
            assert third_is_written.wait(60)
            for action in then:
                action()
        stored = store_batch(batch, checked, origin, options)
        if number == 2:
            third_is_written.set()
        return stored

    monkeypatch.setattr(importer, "store_batch", store)
    return then


def test_batches_are_committed_in_the_order_of_the_file(file, monkeypatch, third_is_written_first):
    checkpoints = []
    save_checkpoint = importer._save_checkpoint

    def save(file_import, checkpoint, stored):
        checkpoints.append(checkpoint.lines)
        save_checkpoint(file_import, checkpoint, stored)

    monkeypatch.setattr(importer, "_save_checkpoint", save)
    import_sales(file)

    assert checkpoints == [4, 8, 12, 16, 20, 24, 28, 30]
    assert stored_orders() == orders(range(30))
    assert FileImport.objects.get().accepted == 30


@pytest.mark.parametrize("error", [RuntimeError("refused"), KeyboardInterrupt()])
def test_a_batch_that_is_written_is_not_stored_if_the_one_before_it_fails(file, third_is_written_first, error):
    def fail():
        raise error

    third_is_written_first.append(fail)
    with pytest.raises(RuntimeError, match="refused") if isinstance(error, RuntimeError) else failing(130):
        import_sales(file)
    assert stored_orders() == orders(range(STORED))

    third_is_written_first.clear()
    import_sales(file)
    assert stored_orders() == orders(range(30))


def test_an_import_that_loses_its_lock_stops_and_the_next_one_continues(file, third_is_written_first):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [session] = cursor.fetchone()

    def lose_lock():
        with connection.cursor() as cursor:  # of another thread, so another session
            cursor.execute("SELECT pg_terminate_backend(%s, 60000)", [session])

    third_is_written_first.append(lose_lock)
    with failing(1, "database error", "Run the command again"):
        import_sales(file)
    connection.close()
    assert len(stored_orders()) == 12  # the batches that were being written when the lock was lost

    third_is_written_first.clear()
    import_sales(file)
    assert stored_orders() == orders(range(30))


def test_the_next_import_waits_for_a_batch_of_one_that_has_lost_its_lock():
    shared, may_commit, locked_again = Event(), Event(), Event()

    def write_batch():
        with transaction.atomic():
            lock.share()
            shared.set()
            assert may_commit.wait(60)

    def import_again():
        with lock_file([b"lines"], "files"):
            locked_again.set()

    with lock_file([b"lines"], "files") as lock, together((write_batch,)):
        assert shared.wait(60)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock_all()")
        with pytest.raises(OperationalError), transaction.atomic():
            lock.share()
        with together((import_again,)):
            wait_until(lambda: someone_waits("advisory"))
            assert not locked_again.is_set()
            may_commit.set()
    assert locked_again.is_set()
