"""Commands that change something leave an entry in the audit log."""

import os
from datetime import timedelta
from io import BytesIO, TextIOWrapper

import pytest
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone

from analytics.models import ReportRun
from countries.models import Country
from sales.ingest.writer import record_sales
from sales.models import IdempotencyKey, RejectedEvent
from sales.tests.helpers import rejected_event, sale_event
from salesengine.accounts.api_keys import create_key
from salesengine.accounts.audit_log import record_command
from salesengine.accounts.models import APIKey
from salesengine.management import purging
from salesengine.tests.clients import PASSWORD, is_in, log_in, text_of

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


@pytest.fixture(autouse=True)
def closed_reports_connection():
    """Close the connection of reports, so that the test database can be dropped."""
    yield
    connections["reports"].close()


LONG_AGO = timezone.now() - timedelta(days=100)
CSV = "ID_COUNTRY,COUNTRY_NAME,CONTINENT\n170,France,Europe\n203,Spain,Europe\n"


@pytest.fixture(autouse=True)
def system_user(monkeypatch):
    monkeypatch.setenv("LOGNAME", "operator")


def entry():
    """Return the only entry as (action, kind, row, message)."""
    [only] = LogEntry.objects.all()
    assert only.user.get_username() == "command line"
    return only.action_flag, only.content_type.model, only.object_repr, only.change_message


class TestUser:
    def test_all_entries_belong_to_one_user(self):
        for _ in range(2):
            record_command(Country, "Changed.")

        assert LogEntry.objects.filter(user__username="command line").count() == 2
        assert User.objects.count() == 1

    def test_it_cannot_log_in(self, client):
        record_command(Country, "Changed.")
        user = User.objects.get()

        assert (user.is_active, user.is_staff, user.is_superuser) == (False, False, False)
        assert not user.has_usable_password()
        user.set_password(PASSWORD)
        user.save()
        log_in(client, "command line")
        assert not is_in(client)

    def test_no_form_can_create_or_activate_it(self, admin_client):
        new = {"username": "command line", "password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
        assert admin_client.post("/admin/auth/user/add/", new).status_code == 200
        assert not User.objects.filter(username="command line").exists()

        record_command(Country, "Changed.")
        user = User.objects.get(username="command line")
        change = {"username": "command line", "is_active": "on", "date_joined_0": "2021-01-01", "date_joined_1": "0:00"}
        assert admin_client.post(f"/admin/auth/user/{user.pk}/change/", change).status_code == 200
        user.refresh_from_db()
        assert not user.is_active

    def test_prepare_still_creates_an_administrator(self):
        record_command(Country, "Changed.")

        call_command("prepare")

        assert User.objects.filter(username="admin", is_superuser=True).exists()


class TestEntries:
    def test_an_entry_links_to_the_changed_row(self, admin_client):
        create_key("shop", ["read"])
        key = APIKey.objects.get()
        record_command(key, "Changed.")

        assert f'href="/admin/salesengine/apikey/{key.pk}/change/"' in text_of(
            admin_client.get("/admin/admin/logentry/")
        )

    def test_a_system_user_without_a_name_is_named_by_number(self, monkeypatch):
        for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)

        record_command(Country, "Changed.")

        assert entry()[3] == f"Changed. System user: user {os.getuid()}."

    def test_bytes_that_are_not_utf_8_are_replaced(self):
        record_command(Country, "Loaded from caf\udce9.csv.")

        assert entry()[3] == "Loaded from caf?.csv. System user: operator."


class TestCommands:
    def test_create_api_key(self):
        call_command("create_api_key", "shop", "--scope", "ingest", "--scope", "read")

        message = "Added. Scopes: ingest, read. System user: operator."
        assert entry() == (ADDITION, "apikey", str(APIKey.objects.get()), message)

    def test_prepare(self):
        call_command("prepare")
        call_command("prepare")

        message = "Added as the first administrator. System user: operator."
        assert entry() == (ADDITION, "user", "admin", message)

    @pytest.mark.django_db(transaction=True)
    def test_verify_feedback_leaves_an_entry_only_for_a_repair(self):
        record_sales([sale_event()])
        call_command("verify_feedback")
        assert not LogEntry.objects.exists()

        call_command("verify_feedback", "--repair")

        assert entry()[0] == CHANGE
        assert entry()[3].startswith("Rebuilt the totals")

    def test_load_countries_leaves_one_entry_with_its_numbers(self, tmp_path):
        Country.objects.create(id_country="170", country_name="Gaul")
        file = tmp_path / "countries.csv"
        file.write_text(CSV)

        call_command("load_countries", file)

        message = f"Loaded from {file}: 1 new, 1 changed, 0 unchanged. System user: operator."
        assert entry() == (CHANGE, "country", "countries", message)

    def test_load_countries_leaves_no_entry_if_nothing_changes(self, monkeypatch):
        for arguments in (["--dry-run"], [], []):
            monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(CSV.encode())))
            call_command("load_countries", "-", *arguments)

        assert entry()[3].startswith("Loaded from standard input: 2 new, 0 changed, 0 unchanged.")

    def test_load_countries_leaves_no_entry_for_an_invalid_file(self, tmp_path):
        file = tmp_path / "countries.csv"
        file.write_text(CSV + ",Nowhere,\n")

        with pytest.raises(CommandError):
            call_command("load_countries", file)

        assert not LogEntry.objects.exists()


def old_rejected_event():
    RejectedEvent.objects.filter(pk=rejected_event().pk).update(received_at=LONG_AGO)


def old_idempotency_key():
    IdempotencyKey.objects.create(key="k-1", sender="shop", digest=b"")
    IdempotencyKey.objects.update(created_at=LONG_AGO)


def old_report_run():
    ReportRun.objects.create(report="probe", parameters={}, channel="api", started_at=LONG_AGO)


PURGES = {
    "purge_rejected": (old_rejected_event, "rejectedevent"),
    "purge_idempotency_keys": (old_idempotency_key, "idempotencykey"),
    "purge_report_runs": (old_report_run, "reportrun"),
}


@pytest.mark.parametrize("command", PURGES)
class TestPurges:
    def test_a_purge_leaves_an_entry_with_the_number_of_rows(self, command):
        create, kind = PURGES[command]
        create()

        call_command(command, "--older-than", "90d")

        action, model, _, message = entry()
        assert (action, model) == (DELETION, kind)
        assert message.startswith("Deleted 1 ")
        assert message.endswith(" System user: operator.")

    def test_a_dry_run_and_a_purge_of_nothing_leave_none(self, command):
        call_command(command, "--older-than", "90d")
        create, _ = PURGES[command]
        create()

        call_command(command, "--older-than", "90d", "--dry-run")

        assert not LogEntry.objects.exists()


def test_an_interrupted_purge_leaves_an_entry_for_the_rows_it_deleted(monkeypatch):
    def interrupted(*arguments, **options):
        yield 5_000
        raise KeyboardInterrupt

    monkeypatch.setattr(purging, "purge", interrupted)

    with pytest.raises(KeyboardInterrupt):
        call_command("purge_rejected", "--older-than", "90d")

    assert "Deleted 5,000 rejected events." in entry()[3]
