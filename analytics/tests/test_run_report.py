import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from io import StringIO

import psutil
import pytest
from django.conf import settings as project_settings
from django.core.management import CommandError, call_command
from django.db import connection

from analytics.models import ReportRun
from sales.ingest.writer import record_sales
from sales.tests.helpers import sale_event
from salesengine.tests.servers import connect_database

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

ENDLESS = "SELECT generate_series(1, 1000000000) AS n"
PARAMETERS = """\
[parameters.day]
type = "date"
default = "2021-01-07"
help = "The day."

[parameters.least]
type = "integer"
required = true
minimum = 1
"""
ROWS = '[parameters.rows]\ntype = "integer"\nrequired = true\n'


@pytest.fixture
def manage(server, server_dir, sql_dir):
    """Starts `manage.py run_report` as a process, on the folder of reports of this test and the server's database."""
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
    """Asks the server's database for what its reports do at this moment."""

    def ask():
        with connect_database(server_dir) as database:
            return database.execute(
                "SELECT query FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
            ).fetchall()

    return ask


def failure_of(*arguments):
    """The message and the exit code of a call that must fail."""
    with pytest.raises(CommandError) as caught:
        call_command("run_report", *arguments, stdout=StringIO(), stderr=StringIO())
    return str(caught.value), caught.value.returncode


def run_report(*arguments):
    """What the call writes to standard output; it must have nothing to say."""
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
    assert run_report("probe", "--format", "csv") == "country,revenue\nFrance,12.50\n"


def test_json_is_for_programs(write_report):
    write_report("SELECT 'France' AS country, 12.50 AS revenue")
    assert run_report("probe", "--format", "json") == '[\n{"country":"France","revenue":12.50}\n]\n'


@pytest.mark.parametrize("name", ["country_contribution", "repeat_buyer_revenue", "top_country_relationships"])
@pytest.mark.parametrize("format_name", ["table", "csv", "json"])
def test_each_report_of_the_project_runs_without_any_sales(name, format_name):
    assert run_report(name, "--format", format_name)


def test_the_list_has_names_and_titles(write_report):
    write_report("SELECT 1 AS one")
    assert json.loads(run_report("--list", "--format", "json")) == [
        {"name": "probe", "topic": "Other", "title": "The probe"}
    ]


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
    assert run_report("probe", "--quiet", "--output", str(tmp_path / "out.csv")) == ""
    assert (tmp_path / "out.csv").read_bytes() == "letter\né\n".encode()


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


def test_a_manifest_that_cannot_be_written_is_told_before_the_report_runs(write_report, tmp_path):
    write_report("SELECT 1 AS one")
    (tmp_path / "out.csv.manifest.json").mkdir()
    message, code = failure_of("probe", "--output", str(tmp_path / "out.csv"), "--manifest")
    assert message == f"{tmp_path}/out.csv.manifest.json cannot be written: it is not an ordinary file"
    assert code == 1
    assert not (tmp_path / "out.csv").exists()
    assert not ReportRun.objects.exists()


def test_the_process_writes_data_to_standard_output_and_ends_with_0(manage, write_report, sql_dir):
    write_report("SELECT 1 AS one")
    (sql_dir / "bad.sql").write_text("a bad file does not stop the good one")
    process = manage("probe", "--format", "csv")
    assert process.communicate() == (b"one\n1\n", b"")
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nope"], 2, b"The reports are: probe."),
        ([], 2, b"Which report? --list shows them."),
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
    assert process.stdout.readline() == b"n\n"
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
    assert b"manage.py run_report country_contribution --param start=2021-01-01" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--list", "--explain"], "not allowed with"),
        (["--param", "start"], "'start' is not of the form NAME=VALUE"),
        (["--param", "start=1"], "start is not known: there are none"),
        (["--timeout", "soon"], "is not a duration"),
        (["--limit", "0"], "not a whole number of at least 1"),
        (["--manifest"], "name one with --output"),
    ],
)
def test_a_wrong_call_is_told_and_nothing_is_run(write_report, arguments, words):
    write_report("SELECT 1 AS one")
    assert words in failure_of("probe", *arguments)[0]
    assert not ReportRun.objects.exists()


# Parameters


def test_parameters_are_bound(write_report):
    write_report("SELECT %(day)s + 1 AS next, %(least)s * 2 AS twice", header=PARAMETERS)
    assert run_report("probe", "--format", "csv", "--param", "least=21") == "next,twice\n2021-01-08,42\n"
    assert run_report("probe", "--format", "csv", "--param", "day=2021-02-28", "--param", "least=+1") == (
        "next,twice\n2021-03-01,2\n"
    )


def test_an_empty_value_is_none_and_not_the_default(write_report):
    write_report("SELECT %(day)s IS NULL AS missing, %(least)s AS least", header=PARAMETERS)
    assert run_report("probe", "--format", "csv", "--param", "day=", "--param", "least=1") == "missing,least\ntrue,1\n"


def test_all_that_is_wrong_with_the_parameters_is_told_and_nothing_is_run(write_report):
    write_report("SELECT %(day)s AS day, %(least)s AS least", header=PARAMETERS)
    message, code = failure_of("probe", "--param", "day=soon", "--param", "lest=1")
    assert code == 2
    assert "day must be a day, such as 2021-01-31" in message
    assert "least must be given" in message
    assert "lest is not known here; there are day, least" in message
    assert not ReportRun.objects.exists()


def test_a_parameter_that_is_given_twice_is_refused(write_report):
    write_report("SELECT %(day)s AS day, %(least)s AS least", header=PARAMETERS)
    assert failure_of("probe", "--param", "least=1", "--param", "least=2") == ("least is given more than once", 2)


def test_bytes_that_are_no_utf_8_are_refused(manage, write_report):
    write_report("SELECT %(word)s AS word", header='[parameters.word]\ntype = "text"\n')
    process = manage("probe", "--param", b"word=\xff")
    assert b"word must be text in UTF-8" in process.communicate()[1]
    assert process.returncode == 2


# Instead of a run


def test_a_report_describes_itself(write_report):
    write_report("SELECT %(day)s AS day, %(least)s AS least", header=PARAMETERS)
    said = run_report("probe", "--describe")
    assert said.startswith("The probe\n\nWhat <b>probe</b> does.\n")
    assert "day" in said
    assert "2021-01-07" in said
    assert "The day." in said
    assert not ReportRun.objects.exists()


def test_a_dry_run_says_what_would_run_and_runs_nothing(write_report):
    write_report("SELECT %(day)s AS day, %(least)s AS least, pg_sleep(60) AS nap", header=PARAMETERS)
    out, err = StringIO(), StringIO()
    call_command("run_report", "probe", "--param", "least=3", "--dry-run", stdout=out, stderr=err)
    assert (out.getvalue(), err.getvalue()) == (
        "",
        "Would run probe with day=2021-01-07, least=3; it gives the columns day, least, nap.\n",
    )
    assert not ReportRun.objects.exists()


def test_a_dry_run_finds_what_is_wrong_with_the_sql(write_report):
    write_report("SELECT nope")
    assert failure_of("probe", "--dry-run")[1] == 1


def test_the_plan_is_shown_and_nothing_is_run(write_report):
    write_report("SELECT COUNT(*) AS sales, pg_sleep(60) AS nap FROM sales")
    assert "on public.sales" in run_report("probe", "--explain")
    assert not ReportRun.objects.exists()


# Files


@pytest.mark.parametrize(
    ("name", "start"), [("a.json", b"["), ("a.parquet", b"PAR1"), ("a.xlsx", b"PK"), ("a.md", b"| one"), ("a", b" one")]
)
def test_the_format_is_what_the_name_of_the_file_ends_in(write_report, tmp_path, name, start):
    write_report("SELECT 1 AS one")
    run_report("probe", "--quiet", "--output", str(tmp_path / name))
    assert (tmp_path / name).read_bytes().startswith(start)


def test_a_manifest_tells_what_is_in_the_file(write_report, tmp_path):
    record_sales([sale_event(), sale_event()])
    report = write_report("SELECT id, %(day)s AS day, %(least)s AS least FROM sales ORDER BY id", header=PARAMETERS)
    file = tmp_path / "out.csv"
    run_report("probe", "--quiet", "--output", str(file), "--manifest", "--param", "least=1")
    told = json.loads((tmp_path / "out.csv.manifest.json").read_text())
    with connection.cursor() as cursor:
        cursor.execute("""SELECT to_char(max(received_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM sales""")
        (newest,) = cursor.fetchone()
    assert told == {
        "file": "out.csv",
        "report": "probe",
        "format": "csv",
        "parameters": {"day": "2021-01-07", "least": "1"},
        "rows": 2,
        "bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "sql_sha256": hashlib.sha256(report.sql.encode()).hexdigest(),
        "truncated": False,
        "sales": 2,
        "newest_received_at": newest,
        "run": str(ReportRun.objects.get().token),
    }


@pytest.mark.parametrize("format_name", ["csv", "json"])
@pytest.mark.parametrize(("limit", "truncated"), [(9, True), (10, False), (11, False)])
def test_a_limit_is_kept_and_told(write_report, tmp_path, format_name, limit, truncated):
    write_report("SELECT generate_series(1, 10) AS n")
    file = tmp_path / f"out.{format_name}"
    err = StringIO()
    call_command("run_report", "probe", "--output", str(file), "--manifest", "--limit", str(limit), stderr=err)
    told = json.loads(file.with_name(f"{file.name}.manifest.json").read_text())
    assert (told["rows"], told["truncated"]) == (min(limit, 10), truncated)
    assert ("There are more rows than the 9 of --limit." in err.getvalue()) == truncated


def test_a_manifest_comes_only_with_its_file(write_report, tmp_path):
    write_report("SELECT 1 / (5000 - n) AS x FROM generate_series(1, 9000) AS n")
    assert failure_of("probe", "--output", str(tmp_path / "out.csv"), "--manifest")[1] == 1
    assert [each.name for each in tmp_path.iterdir()] == ["sql"]


# How it ended


def test_no_rows_are_a_failure_when_asked_for(write_report, tmp_path):
    write_report("SELECT 1 AS one WHERE false")
    file = tmp_path / "out.csv"
    assert failure_of("probe", "--fail-on-empty", "--output", str(file)) == ("probe has no rows.", 3)
    assert not file.exists()
    assert run_report("probe", "--format", "csv") == "one\n"
    assert list(ReportRun.objects.order_by("id").values_list("outcome", flat=True)) == ["empty", "empty"]


def test_a_failed_assertion_has_its_own_exit_code_and_nothing_is_given_out(write_report, tmp_path):
    write_report("SELECT 1 AS one", header='[[assertions]]\nexpression = "SUM(one) > 1"\nmessage = "Too little."\n')
    file = tmp_path / "out.csv"
    file.write_text("old")
    assert failure_of("probe", "--output", str(file)) == ("probe.sql: the result is not as it must be. Too little.", 4)
    assert file.read_text() == "old"
    assert ReportRun.objects.get().outcome == "failed assertion"


def test_an_assertion_of_severity_warn_is_said_beside_the_data(write_report):
    write_report("SELECT 1 AS one", header='[[assertions]]\nrows = "> 1"\nseverity = "warn"\n')
    out, err = StringIO(), StringIO()
    call_command("run_report", "probe", "--format", "csv", stdout=out, stderr=err)
    assert out.getvalue() == "one\n1\n"
    assert err.getvalue() == "Warning: It is not true that the number of rows is > 1.\n"
    assert run_report("probe", "--format", "csv", "--quiet") == "one\n1\n"


def test_what_takes_too_long_has_its_own_exit_code(write_report):
    write_report("SELECT pg_sleep(30) AS nap")
    message, code = failure_of("probe", "--timeout", "1s")
    assert code == 5
    assert "This run may take 1 seconds" in message
    assert ReportRun.objects.get().outcome == "timed out"


def test_the_timeout_of_the_file_is_the_default(write_report):
    write_report("SELECT pg_sleep(30) AS nap", header='timeout = "1s"\n')
    assert failure_of("probe")[1] == 5


def test_a_closed_standard_output_is_told(manage, write_report):
    write_report("SELECT 1 AS one")
    process = manage("probe", "--format", "csv", stdout=None, preexec_fn=lambda: os.close(1))
    assert process.communicate()[1].decode().splitlines() == ["CommandError: Standard output is closed: use --output."]
    assert process.returncode == 2


def test_a_user_without_a_name_can_run_reports(write_report, monkeypatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    write_report("SELECT 1 AS one")
    run_report("probe", "--format", "csv")
    assert ReportRun.objects.get().sender == f"user {os.getuid()}"


def test_control_c_leaves_no_query(manage, running_queries, write_report, tmp_path):
    write_report("SELECT pg_sleep(60) AS nap")
    process = manage("probe")
    deadline = time.monotonic() + 20
    while not any("pg_sleep" in query for (query,) in running_queries()):
        assert time.monotonic() < deadline, "nothing is running"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    assert not any("pg_sleep" in query for (query,) in running_queries())


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=lambda each: str(each)
)
def test_a_signal_half_way_leaves_the_old_file_and_nothing_else(manage, write_report, tmp_path, number, code):
    write_report(ENDLESS)
    (tmp_path / "out.csv").write_text("old")
    process = manage("probe", "--output", str(tmp_path / "out.csv"), "--manifest")
    deadline = time.monotonic() + 20
    while not any(each.stat().st_size > 100_000 for each in tmp_path.glob(".out.csv.*")):
        assert time.monotonic() < deadline, "nothing is written"
        time.sleep(0.05)
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == code
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out.csv", "sql"]
    assert (tmp_path / "out.csv").read_text() == "old"


def test_control_c_before_the_report_runs_is_told_by_the_exit_code_alone(manage, write_report, monkeypatch):
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")  # tells of each module on stderr
    write_report("SELECT pg_sleep(60) AS nap")
    process = manage("probe")
    for line in process.stderr:
        if b" django." in line:  # Django is being loaded, the report is not
            break
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=20)[1]
    assert process.returncode == 130
    assert b"Traceback" not in err


def test_a_killed_process_leaves_no_query_for_long(manage, running_queries, write_report, tmp_path):
    write_report("SELECT pg_sleep(60) AS nap")
    process = manage("probe")
    deadline = time.monotonic() + 20
    while not any("pg_sleep" in query for (query,) in running_queries()):
        assert time.monotonic() < deadline, "nothing is running"
        time.sleep(0.05)
    process.kill()
    deadline = time.monotonic() + 10
    while any("pg_sleep" in query for (query,) in running_queries()):
        assert time.monotonic() < deadline, "the query goes on"
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.parametrize(("format_name", "rows"), [("csv", 50_000_000), ("ndjson", 1_000_000)])
def test_millions_of_rows_take_no_more_memory_than_a_few(manage, write_report, format_name, rows):
    write_report("SELECT generate_series(1, %(rows)s) AS n, 'x' AS text", header=ROWS)
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
        with suppress(psutil.Error):  # it has just ended
            memory = max(memory, psutil.Process(process.pid).memory_info().rss)
        time.sleep(0.05)
    assert process.returncode == 0
    assert 50_000_000 < memory < 200_000_000
