"""An import from a pipe does not wait for more than it needs."""

import os
import threading

import pytest
from django.db import OperationalError

from sales.importing import importer, sources
from sales.importing.tests.imports import events, failing, import_sales, ndjson
from sales.models import Sale
from sales.totals.tests.threads import together

pytestmark = pytest.mark.django_db

FIRST_READ = 64  # lines that an import reads before it begins


def test_an_error_of_the_database_ends_an_import_from_a_pipe_that_stays_open(path, monkeypatch):
    def fail(*batch):
        raise OperationalError("the database is gone")

    monkeypatch.setattr(sources, "BATCH_SIZE", FIRST_READ)
    monkeypatch.setattr(importer, "store_batch", fail)
    os.mkfifo(path)
    has_ended = threading.Event()

    def write_and_keep_open():
        with path.open("w") as pipe:
            pipe.write(ndjson(events(0, FIRST_READ)))
            pipe.flush()
            assert has_ended.wait(20), "the import waited for the end of the pipe"

    with together((write_and_keep_open,)):
        with failing(1, "the database is gone"):
            import_sales(path)
        has_ended.set()


def test_an_invalid_event_ends_an_import_from_a_pipe_that_stays_open(path, monkeypatch):
    monkeypatch.setattr(sources, "BATCH_SIZE", FIRST_READ)
    os.mkfifo(path)
    has_ended = threading.Event()

    def write_and_keep_open():
        with path.open("w") as pipe:
            pipe.write(ndjson(events(0, 1, REVENUE="much"), events(1, FIRST_READ)))
            pipe.flush()
            assert has_ended.wait(20), "the import waited for the end of the pipe"

    with together((write_and_keep_open,)):
        with failing(1, "stopped because of 1 error"):
            import_sales(path)
        has_ended.set()

    assert not Sale.objects.exists()
