"""manage.py migrate waits for tables in short attempts, so that requests do not queue behind it for long."""

import threading

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from sales.totals.tests.threads import together
from salesengine.management.commands import migrate
from salesengine.operations.database_checks import pending_migrations

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def one_pending_migration(monkeypatch):
    """Leave out a migration that replaces the view `ledger_sales`."""
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT", "50ms")
    monkeypatch.setattr(migrate, "PAUSE", 0.05)
    call_command("migrate", "sales", "0025", verbosity=0)
    yield
    call_command("migrate", verbosity=0)


def read_until(event, started):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT FROM ledger_sales LIMIT 0")
        started.set()
        assert event.wait(20)


def test_a_migration_is_tried_again_until_its_table_is_free(capsys):
    has_failed, started = threading.Event(), threading.Event()

    class Command(migrate.Command):
        def _limit(self, value):
            if "A migration waits" in capsys.readouterr().err:
                has_failed.set()
            super()._limit(value)

    with together((read_until, has_failed, started)):
        assert started.wait(10)
        call_command(Command(), verbosity=0)

    assert has_failed.is_set()
    assert pending_migrations() == []
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)


def test_it_gives_up_after_some_minutes(monkeypatch):
    monkeypatch.setattr(migrate, "WAIT_LIMIT", 0.2)
    end, started = threading.Event(), threading.Event()
    with together((read_until, end, started)):
        assert started.wait(10)
        with pytest.raises(CommandError, match="for a table that another session uses"):
            call_command("migrate", verbosity=0)
        end.set()
    assert len(pending_migrations()) == 1
