"""The home page and bin/start warn of old backups, as soon as the database has sales."""

import os
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from analytics.backoffice.tests.home_pages import block_of, page_of
from sales.ingest.writer import record_sales
from sales.tests.helpers import sale_event
from salesengine.operations.last_backup import record_backup
from salesengine.tests.clients import allow

pytestmark = pytest.mark.django_db(databases=["default", "reports"])
DAY = timedelta(days=1)


@pytest.fixture
def created(settings, tmp_path):
    """Return a function that sets how long ago the database was created. Backups are due after a day."""
    settings.LOCAL_DIR, settings.BACKUP_MAX_AGE = tmp_path, DAY
    version = tmp_path / "postgres" / "PG_VERSION"
    version.parent.mkdir()

    def create(age):
        version.touch()
        time = (timezone.now() - age).timestamp()
        os.utime(version, (time, time))

    return create


def attention(client):
    page = page_of(client)
    return block_of(page, "Needs attention") if "Needs attention" in page else ""


def test_an_old_backup_needs_attention(created, staff, capsys):
    created(2 * DAY)
    record_sales([sale_event()])
    record_backup(timezone.now() - DAY - timedelta(minutes=1), "/backups")
    allow(staff, "view_reportrun")

    call_command("prepare")

    warning = f"The newest backup is from {timezone.now() - DAY - timedelta(minutes=1):%Y-%m-%d}"
    assert warning in attention(staff)
    assert f"Warning: {warning}" in capsys.readouterr().err


def test_a_database_that_never_had_a_backup_needs_attention_after_a_day(created, staff):
    created(DAY + timedelta(minutes=1))
    record_sales([sale_event()])
    allow(staff, "view_reportrun")

    assert "The database has no backup." in attention(staff)


def test_a_new_database_needs_no_backup_yet(created, staff):
    created(timedelta(minutes=1))
    record_sales([sale_event()])
    allow(staff, "view_reportrun")

    assert attention(staff) == ""


def test_a_database_without_sales_needs_no_backup(created, staff):
    created(2 * DAY)
    allow(staff, "view_reportrun")

    assert attention(staff) == ""


def test_a_new_backup_needs_no_attention(created, staff):
    created(2 * DAY)
    record_sales([sale_event()])
    record_backup(timezone.now(), "/backups")
    allow(staff, "view_reportrun")

    assert attention(staff) == ""


def test_only_who_may_see_the_log_of_runs_sees_the_warning(created, staff):
    created(2 * DAY)
    record_sales([sale_event()])
    allow(staff, "view_sale")

    assert attention(staff) == ""
