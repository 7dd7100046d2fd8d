"""manage.py without a database."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from salesengine.tests.proxy import production
from salesengine.tests.servers import ROOT, empty_folder, free_port


def manage(*command, **settings):
    """Run a command whose database is not there."""
    url = f"postgres://nobody@127.0.0.1:{free_port()}/nothing"
    return subprocess.run(
        [sys.executable, "manage.py", *command],
        env=os.environ | {"ENV_FILE": os.devnull} | production(url) | settings,
        cwd=ROOT,
        input="ID_COUNTRY,COUNTRY_NAME,CONTINENT\n170,France,Europe\n",
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("run_report", "sales"),
        ("load_countries", "-"),
        ("verify_feedback",),
        ("purge_idempotency_keys",),
        ("migrate",),
    ],
)
def test_a_command_without_its_database_fails_with_the_reason_once_and_exit_code_1(command):
    finished = manage(*command, LOG_LEVEL="INFO")

    assert finished.returncode == 1
    assert finished.stdout == ""
    assert "\nCannot use the database: " in f"\n{finished.stderr}"
    assert finished.stderr.count("Connection refused") == 1
    assert "Traceback" not in finished.stderr


@pytest.mark.slow
def test_check_warns_that_it_has_not_checked_the_database():
    finished = manage("check")

    assert finished.returncode == 0
    assert "(analytics.W004) the database and the SQL of the reports were not checked" in finished.stderr
    assert "HINT: " in finished.stderr
    assert manage("check", "--fail-level", "WARNING").returncode == 1


@pytest.mark.slow
def test_check_does_not_warn_if_it_is_told_not_to_use_the_database():
    assert "W004" not in manage("check", "analytics").stderr


# Without a database: what every command does


def run(command, **options):
    """Run a command through a shell that can close streams, such as "check 2>&-"."""
    return subprocess.run(
        ["sh", "-c", f"{sys.executable} manage.py {command}"],
        env=os.environ | {"ENV_FILE": os.devnull} | production("postgres://nobody@127.0.0.1:1/nothing") | options,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("streams", ["2>&- <&-", "2>/dev/full"])
@pytest.mark.parametrize(("command", "code"), [("check", 0), ("run_report nope", 2)])
def test_messages_that_cannot_be_written_do_not_change_the_exit_code(command, code, streams):
    assert run(f"{command} {streams}").returncode == code


@pytest.mark.slow
@pytest.mark.parametrize("command", ["import_sales - --format csv", "correct_sales - --format csv", "load_countries -"])
def test_standard_input_that_is_closed_is_a_usage_error(command):
    finished = run(f"{command} <&-")
    assert finished.returncode == 2
    assert finished.stderr.splitlines()[-1].endswith(": standard input is closed")


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_standard_output_that_cannot_be_written_is_one_line(unbuffered):
    finished = run("check --list-tags >/dev/full", PYTHONUNBUFFERED=unbuffered)
    assert (finished.returncode, finished.stderr) == (
        1,
        "Standard output cannot be written: No space left on device\n",
    )


FAILING = """
import sys
from salesengine.management import running

def fail(utility):
    print("differences")
    sys.exit(4)

running._Utility.execute = fail
running.run()
"""


def test_standard_output_that_cannot_be_written_does_not_change_the_exit_code_of_a_failure():
    environment = os.environ | {"PYTHONUNBUFFERED": ""}
    with Path("/dev/full").open("w") as full:
        finished = subprocess.run(
            [sys.executable, "-c", FAILING], cwd=ROOT, env=environment, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (finished.returncode, finished.stderr) == (4, b"")


@pytest.mark.parametrize("command", ["check --list-tags", "version"])
def test_a_closed_standard_output_is_one_line(command):
    finished = run(f"{command} >&-")
    assert (finished.returncode, finished.stderr) == (1, "Standard output cannot be written: Bad file descriptor\n")


CHILD = """
import os, sys
from salesengine.management.streams import replace_standard_streams

replace_standard_streams()
sys.exit(os.system("echo text >&2") and 1)
"""


@pytest.mark.parametrize("closed", ["2>&-", "2>&- <&-"])
def test_a_closed_standard_error_is_open_for_child_processes(closed):
    command = ["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, CHILD]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_seen_enough_is_no_error(unbuffered):
    finished = run("check --list-tags | true", PYTHONUNBUFFERED=unbuffered)
    assert finished.stderr == ""


def test_a_traceback_does_not_change_the_exit_code():
    finished = run("run_report nope --traceback")
    assert finished.returncode == 2
    assert finished.stderr.startswith("Traceback")


@pytest.mark.slow
def test_a_database_without_its_tables_is_one_line_that_says_what_to_do():
    with empty_folder() as folder:
        options = {"DATABASE_URL": "", "LOCAL_DIR": str(folder / "local")}
        finished = run("purge_rejected --older-than 1d", **options)
        assert finished.returncode == 1
        assert finished.stderr.splitlines()[-1:] == [
            'The database is not prepared: relation "rejected_events" does not exist. Run manage.py prepare.'
        ]
        traceback = run("purge_rejected --older-than 1d --traceback", **options)
        assert (traceback.returncode, "UndefinedTable" in traceback.stderr) == (1, True)


@pytest.mark.parametrize("invalid", [{"SECRET_KEY": ""}, {"SECRET_KEY_FILE": "/no/secret"}], ids=["missing", "file"])
def test_doctor_exits_with_2_if_the_settings_are_invalid(invalid):
    finished = run("doctor", **invalid)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert finished.stderr.startswith("Invalid settings: ")
    assert len(finished.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "name"), [("doctor", "file"), ("run_report sales", "file/below"), ("check", "/proc/none")]
)
def test_an_unusable_local_dir_is_one_line(tmp_path, command, name):
    (tmp_path / "file").touch()
    finished = run(command, DATABASE_URL="", SECRET_KEY="", LOCAL_DIR=str(tmp_path / name))
    assert finished.returncode == (2 if command == "doctor" else 1)
    assert finished.stderr.startswith(f"Invalid settings: LOCAL_DIR is {tmp_path / name}, which cannot be used: ")
    assert len(finished.stderr.splitlines()) == 1


TERMINATED_DURING_AN_IMPORT = """
import os, signal, sys, weakref
import django
def setup():
    value = set()
    reference = weakref.ref(value, lambda _: os.kill(os.getpid(), signal.SIGTERM))  # importlib has such callbacks
    del value
django.setup = setup
sys.argv = ["manage.py", "version"]
import manage
manage.main()
"""


def test_sigterm_is_not_lost_while_modules_are_imported():
    environment = os.environ | {"ENV_FILE": os.devnull} | production("postgres://nobody@127.0.0.1:1/nothing")
    finished = subprocess.run(
        [sys.executable, "-c", TERMINATED_DURING_AN_IMPORT], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert (finished.returncode, finished.stdout) == (128 + signal.SIGTERM, "")


OWN_APPS = ("analytics", "countries", "sales", "salesengine")
DJANGOS = ("check", "migrate")  # commands whose help is Django's


@pytest.mark.parametrize(
    ("app", "command"), [(app, name) for name, app in get_commands().items() if app in OWN_APPS and name not in DJANGOS]
)
def test_the_help_of_each_command_lists_its_exit_codes(app, command):
    text = load_command_class(app, command).create_parser("manage.py", command).format_help()
    assert re.search(r"exit codes:\s+0 ", text)
