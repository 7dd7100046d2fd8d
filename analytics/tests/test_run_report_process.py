"""`manage.py run_report` as a process: exit codes, streams, signals and memory."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress

import psutil
import pytest
from django.conf import settings as project_settings

from salesengine.tests.servers import connect_database

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

ENDLESS = "SELECT generate_series(1, 1000000000) AS n"
ROWS = '[parameters.rows]\ntype = "integer"\nrequired = true\n'


@pytest.fixture
def manage(server, server_dir, sql_dir):
    """Return a function that starts `manage.py run_report` with this test's reports and the server's database."""
    with ExitStack() as processes:

        def start(*arguments, **options):
            process = subprocess.Popen(
                [sys.executable, "manage.py", "run_report", *arguments],
                cwd=project_settings.BASE_DIR,
                env=os.environ | {"LOCAL_DIR": str(server_dir), "SQL_DIR": str(sql_dir), "ENV_FILE": os.devnull},
                **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options,
            )
            processes.enter_context(process)
            processes.callback(process.kill)
            return process

        yield start


@pytest.fixture
def running_queries(server_dir):
    """Return a function that returns the active queries of the server's database."""

    def fetch():
        with connect_database(server_dir) as database:
            return database.execute(
                "SELECT query FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
            ).fetchall()

    return fetch


def test_the_process_writes_data_to_standard_output_and_exits_with_0(manage, write_report, sql_dir):
    write_report("SELECT 1 AS one")
    (sql_dir / "bad.sql").write_text("an invalid file does not stop a valid one")
    process = manage("probe", "--format", "csv")
    assert process.communicate() == (b"one\n1\n", b"")
    assert process.returncode == 0


def test_a_pipe_gets_the_title_of_a_described_report_before_its_parameters(manage, write_report, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    write_report("SELECT %(rows)s AS number", header=ROWS)
    out, _ = manage("probe", "--describe").communicate()
    lines = out.decode().splitlines()
    assert lines[0] == "The probe"
    assert lines[4].split() == ["parameter", "type", "required", "default", "choices", "help"]


def test_a_pipe_gets_a_whole_excel_file_of_a_described_report(manage, write_report):
    write_report("SELECT %(rows)s AS number", header=ROWS)
    out, _ = manage("probe", "--describe", "--format", "xlsx").communicate()
    assert out.startswith(b"PK")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nope"], 2, b"The reports are: probe."),
        ([], 2, b"The name of a report is missing. --list shows all names."),
        (["probe", "--format", "xml"], 2, b"invalid choice: 'xml'"),
        (["probe"], 1, b"division by zero"),
    ],
)
def test_the_process_writes_errors_to_standard_error_and_has_an_exit_code(
    manage, write_report, arguments, code, message
):
    write_report("SELECT 1 / 0 AS x")
    process = manage(*arguments)
    out, err = process.communicate()
    assert (out, process.returncode) == (b"", code)
    assert message in err
    assert b"Traceback" not in err


def test_a_closed_pipe_exits_with_0(manage, write_report):
    write_report(ENDLESS)
    process = manage("probe", "--format", "csv")
    assert process.stdout.readline() == b"n\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 0


def test_an_unwritable_file_exits_with_1(manage, write_report):
    write_report("SELECT 1 AS one")
    process = manage("probe", "--output", "/proc/out.csv")
    assert b"/proc/out.csv cannot be written" in process.communicate()[1]
    assert process.returncode == 1


def test_ctrl_c_ends_the_report_and_leaves_no_file(manage, write_report, tmp_path):
    write_report(ENDLESS)
    process = manage("probe", "--format", "csv", "--output", tmp_path / "out.csv")
    deadline = time.monotonic() + 60
    while not any(draft.stat().st_size for draft in tmp_path.glob(".out.csv.*")):
        assert time.monotonic() < deadline, "nothing was written"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, b"Traceback" in err) == (130, False)
    assert [path.name for path in tmp_path.iterdir()] == ["sql"]


def test_the_help_has_examples(manage):
    out, _ = manage("--help").communicate()
    assert b"manage.py run_report country_contribution --param start=2021-01-01" in out


def test_a_value_that_is_not_utf_8_is_refused(manage, write_report):
    write_report("SELECT %(word)s AS word", header='[parameters.word]\ntype = "text"\n')
    process = manage("probe", "--param", b"word=\xff")
    assert b"word must be valid UTF-8 text" in process.communicate()[1]
    assert process.returncode == 2


def test_a_closed_standard_output_exits_with_2(manage, write_report):
    write_report("SELECT 1 AS one")
    process = manage("probe", "--format", "csv", stdout=None, preexec_fn=lambda: os.close(1))
    assert process.communicate()[1].decode().splitlines() == ["CommandError: Standard output is closed. Use --output."]
    assert process.returncode == 2


def test_ctrl_c_leaves_no_query(manage, running_queries, write_report, tmp_path):
    write_report("SELECT pg_sleep(300) AS nap")
    process = manage("probe")
    deadline = time.monotonic() + 60
    while not any("pg_sleep" in query for (query,) in running_queries()):
        assert time.monotonic() < deadline, "the query did not start"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert not any("pg_sleep" in query for (query,) in running_queries())


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str
)
def test_a_signal_midway_keeps_the_old_file_and_leaves_nothing_else(manage, write_report, tmp_path, number, code):
    write_report(ENDLESS)
    (tmp_path / "out.csv").write_text("old")
    process = manage("probe", "--output", str(tmp_path / "out.csv"), "--manifest")
    deadline = time.monotonic() + 60
    while not any(draft.stat().st_size > 100_000 for draft in tmp_path.glob(".out.csv.*")):
        assert time.monotonic() < deadline, "nothing was written"
        time.sleep(0.05)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == code
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "sql"]
    assert (tmp_path / "out.csv").read_text() == "old"


def test_ctrl_c_during_the_start_exits_with_130_and_no_traceback(manage, write_report, monkeypatch):
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")  # writes each imported module to stderr
    write_report("SELECT pg_sleep(300) AS nap")
    process = manage("probe")
    for line in process.stderr:
        if b" django." in line:  # Django is loading, and the report has not started
            break
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert b"Traceback" not in err


def test_the_query_of_a_killed_process_ends_within_seconds(manage, running_queries, write_report, tmp_path):
    write_report("SELECT pg_sleep(300) AS nap")
    process = manage("probe")
    deadline = time.monotonic() + 60
    while not any("pg_sleep" in query for (query,) in running_queries()):
        assert time.monotonic() < deadline, "the query did not start"
        time.sleep(0.05)
    process.kill()
    deadline = time.monotonic() + 30
    while any("pg_sleep" in query for (query,) in running_queries()):
        assert time.monotonic() < deadline, "the query did not end"
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.parametrize(("format_name", "rows"), [("csv", 5_000_000), ("ndjson", 500_000)])
def test_half_a_gigabyte_of_rows_does_not_need_more_memory(manage, write_report, format_name, rows):
    text = f"repeat('x', {500_000_000 // rows})"
    write_report(f"SELECT generate_series(1, %(rows)s) AS n, {text} AS text", header=ROWS)
    process = manage(
        "probe",
        "--format",
        format_name,
        "--param",
        f"rows={rows}",
        "--timeout",
        "15m",
        "--quiet",
        stdout=subprocess.DEVNULL,
    )
    memory = 0
    while process.poll() is None:
        with suppress(psutil.Error):  # the process has just ended
            memory = max(memory, psutil.Process(process.pid).memory_info().rss)
        time.sleep(0.05)
    assert process.returncode == 0
    assert 50_000_000 < memory < 200_000_000
