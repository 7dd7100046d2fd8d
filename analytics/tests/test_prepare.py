"""manage.py prepare: what bin/start runs before it serves."""

import io
import json
import os
import re
import subprocess
import sys
import time
from datetime import timedelta

import psycopg
import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from analytics.management.commands import prepare as prepare_command
from analytics.management.commands.prepare import DEMO_SALES
from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.tests.helpers import sale_event
from salesengine.accounts.api_keys import create_key
from salesengine.tests.servers import connect_database, empty_folder, manage, new_folder, serve

pytestmark = pytest.mark.django_db(databases=["default", "reports"])


def test_it_creates_an_admin_and_shows_the_password_once(capsys):
    call_command("prepare")
    output = capsys.readouterr().err
    call_command("prepare")

    password = re.search(r"password is (\S{16,})", output)[1]
    assert User.objects.get(username="admin", is_superuser=True).check_password(password)
    assert capsys.readouterr().err == ""


def test_the_password_can_come_from_the_environment(capsys, monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "a chosen one")

    call_command("prepare")

    assert User.objects.get(username="admin").check_password("a chosen one")
    assert "a chosen one" not in capsys.readouterr().err


def test_a_password_from_the_environment_must_be_strong(monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "abcdefg7")

    with pytest.raises(CommandError, match=r"DJANGO_SUPERUSER_PASSWORD is too weak.*at least 12 characters"):
        call_command("prepare")
    assert not User.objects.exists()


def test_it_deletes_expired_sessions():
    for name, days in (("old", -1), ("current", 1)):
        Session.objects.create(session_key=name, session_data="", expire_date=timezone.now() + timedelta(days=days))

    call_command("prepare")

    assert list(Session.objects.values_list("session_key", flat=True)) == ["current"]


def test_it_creates_no_admin_if_an_administrator_exists():
    User.objects.create_superuser("someone")

    call_command("prepare")

    assert not User.objects.filter(username="admin").exists()


def test_demo_data_is_loaded_into_an_empty_database(monkeypatch):
    monkeypatch.setattr("analytics.management.commands.prepare.DEMO_SALES", 10)

    call_command("prepare", "--demo")

    assert Sale.objects.count() == 10


def test_demo_data_is_not_loaded_into_a_database_with_sales(capsys):
    record_sales([sale_event()])

    call_command("prepare", "--demo")

    assert Sale.objects.count() == 1
    assert "no demo data was loaded" in capsys.readouterr().err


@pytest.mark.parametrize("required", [True, False])
def test_it_says_how_to_create_a_key_if_keys_are_required_and_missing(capsys, settings, required):
    settings.API_KEY_REQUIRED = required
    call_command("prepare")
    first = capsys.readouterr().err
    create_key("shop", ["read"])
    call_command("prepare")

    assert ("create one with manage.py create_api_key" in first) is required
    assert capsys.readouterr().err == ""


@pytest.fixture
def preparing_elsewhere():
    """Hold the lock of `prepare` in another session. Yields the session."""
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [prepare_command.LOCK])
        yield other


def test_it_waits_for_another_prepare_and_keeps_saying_what_that_one_does(preparing_elsewhere, monkeypatch):
    monkeypatch.setattr(prepare_command, "MESSAGE_INTERVAL", 0)
    waits_for = f"waiting for database session {preparing_elsewhere.info.backend_pid}, idle in transaction for "

    class EndingAfterThreeLines(io.StringIO):
        def write(self, text):
            if self.getvalue().count("\n") == 3:
                preparing_elsewhere.close()
            return super().write(text)

    output = EndingAfterThreeLines()
    call_command("prepare", stderr=output)

    for line in output.getvalue().splitlines()[:3]:
        assert waits_for in line
        assert line.endswith(f" s: SELECT pg_advisory_lock({prepare_command.LOCK})")
    assert User.objects.exists()


def test_it_does_not_wait_for_ever_for_another_prepare(preparing_elsewhere, monkeypatch):
    monkeypatch.setattr(prepare_command, "WAIT_LIMIT", 0)
    pid = preparing_elsewhere.info.backend_pid

    with pytest.raises(CommandError, match=rf"(?s)database session {pid}, .*SELECT pg_terminate_backend\({pid}\)"):
        call_command("prepare")

    assert not User.objects.exists()


def test_an_unavailable_database_gives_a_message():
    environment = {"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none", "SECRET_KEY": "x" * 50, "ALLOWED_HOSTS": "x"}
    finished = subprocess.run(
        [sys.executable, "manage.py", "prepare"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode == 1
    assert "CommandError: Cannot use the database" in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.slow
def test_two_processes_can_prepare_one_database():
    with empty_folder() as folder:
        processes = [
            subprocess.Popen(
                [sys.executable, "manage.py", "prepare", "--demo"],
                env=os.environ | {"LOCAL_DIR": str(folder), "ENV_FILE": os.devnull},
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        outputs = [process.communicate(timeout=120)[1] for process in processes]
        report = manage(folder, "run_report", "new_and_returning_buyers", "--format", "json")

    assert [process.returncode for process in processes] == [0, 0]
    assert sum("Created the user admin" in output for output in outputs) == 1
    assert sum("The database has sales already" in output for output in outputs) == 1
    assert sum(week["sales"] for week in json.loads(report)) == DEMO_SALES


INDEX_IS_VALID = (
    "SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relname = 'sales_newest_buyers'"
)


@pytest.mark.slow
def test_a_prepare_that_was_killed_while_it_built_an_index_can_be_run_again():
    with new_folder() as folder:
        manage(folder, "migrate", "--verbosity=0", "sales", "0010")
        with serve(folder), connect_database(folder) as database:  # the service keeps the database running
            kill_prepare_while_it_builds_an_index(folder, database)
            left_over = database.execute(INDEX_IS_VALID).fetchall()
            database.execute(
                "INSERT INTO sales (id_order, id_product, id_buyer, id_seller, id_seller_country, id_buyer_country,"
                " date_payment, revenue) VALUES ('1', '2', '3', '4', '5', '6', now(), 7)"
            )
            output = prepare(folder)
            built = database.execute(INDEX_IS_VALID).fetchall()

    assert (left_over, built) == ([(False,)], [(True,)])
    assert "run manage.py verify_feedback --repair" in output


def prepare(folder):
    """Run prepare on the database in this LOCAL_DIR, and return what it says."""
    environment = os.environ | {"LOCAL_DIR": str(folder), "ENV_FILE": os.devnull}
    command = [sys.executable, "manage.py", "prepare"]
    return subprocess.run(command, env=environment, stderr=subprocess.PIPE, check=True, text=True).stderr


def kill_prepare_while_it_builds_an_index(folder, database):
    environment = os.environ | {"LOCAL_DIR": str(folder), "ENV_FILE": os.devnull}
    with database.transaction(force_rollback=True):
        database.execute("LOCK TABLE sales IN ROW EXCLUSIVE MODE")  # building an index waits for this transaction
        killed = subprocess.Popen([sys.executable, "manage.py", "prepare"], env=environment)
        try:
            deadline = time.monotonic() + 60
            while not database.execute(INDEX_IS_VALID).fetchall():
                assert time.monotonic() < deadline, "prepare built no index"
                time.sleep(0.1)
        finally:
            killed.kill()
            killed.wait()
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%'"
        )
