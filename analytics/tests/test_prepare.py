"""manage.py prepare: what bin/start runs before it serves."""

import json
import os
import re
import subprocess
import sys

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from analytics.management.commands.prepare import DEMO_SALES
from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.tests.helpers import sale_event
from salesengine.accounts.api_keys import create_key
from salesengine.tests.servers import empty_folder, manage

pytestmark = pytest.mark.django_db


def test_it_makes_an_admin_whose_password_it_shows_once(capsys):
    call_command("prepare")
    shown = capsys.readouterr().err
    call_command("prepare")

    password = re.search(r"password is (\S{16,})", shown)[1]
    assert User.objects.get(username="admin", is_superuser=True).check_password(password)
    assert capsys.readouterr().err == ""


def test_the_password_can_be_given(capsys, monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "a given one")

    call_command("prepare")

    assert User.objects.get(username="admin").check_password("a given one")
    assert "a given one" not in capsys.readouterr().err


def test_no_admin_is_made_where_there_is_an_administrator():
    User.objects.create_superuser("someone")

    call_command("prepare")

    assert not User.objects.filter(username="admin").exists()


def test_demo_data_is_loaded_into_an_empty_database(monkeypatch):
    monkeypatch.setattr("analytics.management.commands.prepare.DEMO_SALES", 10)

    call_command("prepare", "--demo")

    assert Sale.objects.count() == 10


def test_demo_data_is_not_loaded_beside_other_sales(capsys):
    record_sales([sale_event()])

    call_command("prepare", "--demo")

    assert Sale.objects.count() == 1
    assert "no demo data was loaded" in capsys.readouterr().err


@pytest.mark.parametrize("wanted", [True, False])
def test_where_keys_are_wanted_and_missing_it_says_how_to_make_one(capsys, settings, wanted):
    settings.API_KEY_REQUIRED = wanted
    call_command("prepare")
    first = capsys.readouterr().err
    create_key("shop", ["read"])
    call_command("prepare")

    assert ("create one with manage.py create_api_key" in first) is wanted
    assert capsys.readouterr().err == ""


def test_a_database_that_cannot_be_reached_is_said_in_words():
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
def test_two_at_once_prepare_one_database():
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
        said = [process.communicate(timeout=120)[1] for process in processes]
        told = manage(folder, "run_report", "new_and_returning_buyers", "--format", "json")

    assert [process.returncode for process in processes] == [0, 0]
    assert sum("Created the user admin" in each for each in said) == 1
    assert sum("The database has sales already" in each for each in said) == 1
    assert sum(week["sales"] for week in json.loads(told)) == DEMO_SALES
