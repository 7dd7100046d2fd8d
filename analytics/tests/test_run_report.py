import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from io import StringIO

import pytest
from django.conf import settings as project_settings
from django.core.management import CommandError, call_command

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

MANAGE = """
import pathlib, sys
from django.conf import settings
from django.core.management import execute_from_command_line
settings.SQL_DIR = pathlib.Path(sys.argv.pop(1))
execute_from_command_line(["manage.py", *sys.argv[1:]])
"""
ENDLESS = "SELECT generate_series(1, 1000000000) AS n"


@pytest.fixture
def manage(sql_dir):
    """Starts `manage.py run_report` as a process, on the folder of reports of this test."""
    with ExitStack() as processes:

        def start(*arguments):
            process = subprocess.Popen(
                [sys.executable, "-c", MANAGE, sql_dir, "run_report", *arguments],
                cwd=project_settings.BASE_DIR,
                env={**os.environ, "DJANGO_SETTINGS_MODULE": "salesengine.settings"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            processes.enter_context(process)
            processes.callback(process.kill)
            return process

        yield start


def run_report(*arguments):
    out, err = StringIO(), StringIO()
    call_command("run_report", *arguments, stdout=out, stderr=err)
    assert err.getvalue() == ""
    return out.getvalue()


def test_a_table_is_for_people(write_report):
    write_report("SELECT 'France' AS country, 12.50 AS revenue")
    assert run_report("probe").splitlines() == [
        " country   revenue",
        "───────────────────",
        " France      12.50",
    ]


def test_csv_is_for_programs(write_report):
    write_report("SELECT 'France' AS country, 12.50 AS revenue")
    assert run_report("probe", "--format", "csv") == "country,revenue\r\nFrance,12.50\r\n"


def test_json_is_for_programs(write_report):
    write_report("SELECT 'France' AS country, 12.50 AS revenue")
    assert run_report("probe", "--format", "json") == '[\n{"country":"France","revenue":12.50}\n]\n'


@pytest.mark.parametrize("name", ["country_contribution", "repeat_buyer_revenue", "top_country_relationships"])
@pytest.mark.parametrize("format_name", ["table", "csv", "json"])
def test_each_report_of_the_project_runs_without_any_sales(name, format_name):
    assert run_report(name, "--format", format_name)


def test_the_list_has_names_and_titles(write_report):
    write_report("SELECT 1 AS one")
    assert json.loads(run_report("--list", "--format", "json")) == [{"name": "probe", "title": "The probe"}]


def test_the_list_tells_of_bad_files_beside_the_data(write_report, sql_dir):
    write_report("SELECT 1 AS one")
    (sql_dir / "bad.sql").write_text("SELECT 1")
    out, err = StringIO(), StringIO()
    call_command("run_report", "--list", stdout=out, stderr=err)
    assert "bad" not in out.getvalue()
    assert "bad.sql, line 1: must begin with" in err.getvalue()


def test_an_unknown_report_is_a_wrong_call_and_the_names_are_told(write_report):
    write_report("SELECT 1 AS one")
    with pytest.raises(CommandError, match=r"no report 'prob'. The reports are: probe\.") as caught:
        call_command("run_report", "prob")
    assert caught.value.returncode == 2


def test_a_failed_report_is_a_failure(write_report):
    write_report("SELECT nope")
    with pytest.raises(CommandError, match=r'probe\.sql: column "nope" does not exist\nLINE 5') as caught:
        call_command("run_report", "probe")
    assert caught.value.returncode == 1


def test_a_bad_report_file_is_a_failure_that_names_the_line(sql_dir):
    (sql_dir / "bad.sql").write_text("SELECT 1")
    with pytest.raises(CommandError, match=r"bad\.sql, line 1") as caught:
        call_command("run_report", "bad")
    assert caught.value.returncode == 1


def test_a_file_gets_the_data_and_standard_output_nothing(write_report, tmp_path):
    write_report("SELECT 'é' AS letter")
    assert run_report("probe", "--format", "csv", "--output", str(tmp_path / "out.csv")) == ""
    assert (tmp_path / "out.csv").read_bytes() == "letter\r\né\r\n".encode()


def test_a_report_that_fails_half_way_leaves_the_old_file(write_report, tmp_path):
    write_report("SELECT 1 / (5000 - n) AS x FROM generate_series(1, 9000) AS n")
    (tmp_path / "out.csv").write_text("old")
    with pytest.raises(CommandError, match="division by zero"):
        call_command("run_report", "probe", "--format", "csv", "--output", str(tmp_path / "out.csv"))
    assert (tmp_path / "out.csv").read_text() == "old"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out.csv", "sql"]


def test_a_missing_folder_is_told_before_the_report_runs(write_report, tmp_path):
    write_report("SELECT pg_sleep(50) AS nap")
    with pytest.raises(CommandError, match=r"out\.csv cannot be written: there is no folder .*gone"):
        call_command("run_report", "probe", "--output", str(tmp_path / "gone" / "out.csv"))


def test_the_process_writes_data_to_standard_output_and_ends_with_0(manage, write_report, sql_dir):
    write_report("SELECT 1 AS one")
    (sql_dir / "bad.sql").write_text("a bad file does not stop the good one")
    process = manage("probe", "--format", "csv")
    assert process.communicate() == (b"one\r\n1\r\n", b"")
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nope"], 2, b"The reports are: probe."),
        ([], 2, b"NAME --list is required"),
        (["probe", "--list"], 2, b"not allowed with"),
        (["probe", "--format", "xml"], 2, b"invalid choice: 'xml'"),
        (["probe"], 1, b"division by zero"),
    ],
)
def test_the_process_tells_failures_on_standard_error_and_by_its_exit_code(
    manage, write_report, arguments, code, words
):
    write_report("SELECT 1 / 0 AS x")
    process = manage(*arguments)
    out, err = process.communicate()
    assert (out, process.returncode) == (b"", code)
    assert words in err
    assert b"Traceback" not in err


def test_a_closed_pipe_is_no_failure(manage, write_report):
    write_report(ENDLESS)
    process = manage("probe", "--format", "csv")
    assert process.stdout.readline() == b"n\r\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=20) == 0


def test_a_place_that_cannot_be_written_is_a_failure(manage, write_report):
    write_report("SELECT 1 AS one")
    process = manage("probe", "--output", "/proc/out.csv")
    assert b"/proc/out.csv cannot be written" in process.communicate()[1]
    assert process.returncode == 1


def test_control_c_ends_the_report_and_leaves_no_file(manage, write_report, tmp_path):
    write_report(ENDLESS)
    process = manage("probe", "--format", "csv", "--output", tmp_path / "out.csv")
    deadline = time.monotonic() + 20
    while not any(draft.stat().st_size for draft in tmp_path.glob(".out.csv.*")):
        assert time.monotonic() < deadline, "nothing is being written"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, b"Traceback" in err) == (130, False)
    assert [each.name for each in tmp_path.iterdir()] == ["sql"]


def test_the_help_teaches_by_examples(manage):
    out, _ = manage("--help").communicate()
    assert b"manage.py run_report country_contribution --format csv" in out
