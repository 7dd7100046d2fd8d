"""An import from a pipe does not wait for more than it needs."""

import os
import threading
from contextlib import contextmanager

import pytest
from django.db import OperationalError

from sales.importing import importer, sources
from sales.importing.tests.imports import events, failing, import_sales, ndjson
from sales.models import Sale
from sales.totals.tests.threads import together

pytestmark = pytest.mark.django_db

FIRST_READ = 64  # lines that an import reads before it begins


@contextmanager
def idle_pipe(path, *lists):
    """Write events into a pipe, and keep it open until the block ends. Fails if the block waits for more."""
    os.mkfifo(path)
    has_ended = threading.Event()

    def write_and_keep_open():
        with path.open("w") as pipe:
            pipe.write(ndjson(*lists))
            pipe.flush()
            assert has_ended.wait(20), "the import waited for the end of the pipe"

    with together((write_and_keep_open,)):
        yield
        has_ended.set()


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(sources, "BATCH_SIZE", FIRST_READ)


def test_an_error_of_the_database_ends_an_import_from_a_pipe_that_stays_open(path, monkeypatch):
    def fail(*batch):
        raise OperationalError("the database is gone")

    monkeypatch.setattr(importer, "store_batch", fail)
    with idle_pipe(path, events(0, FIRST_READ)), failing(1, "the database is gone"):
        import_sales(path)


def test_an_invalid_event_ends_an_import_from_a_pipe_that_stays_open(path):
    with (
        idle_pipe(path, events(0, 1, REVENUE="much"), events(1, FIRST_READ)),
        failing(1, "stopped because of 1 error"),
    ):
        import_sales(path)

    assert not Sale.objects.exists()
