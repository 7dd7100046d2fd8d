"""`manage.py run_report` writes a report's result, and checks its arguments first."""

import hashlib
import json
import os
from io import StringIO

import openpyxl
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from analytics.models import ReportRun
from analytics.tests.helpers import failure_of, run_report
from sales.ingest.writer import record_sales
from sales.tests.helpers import sale_event

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

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


def test_the_default_format_is_a_table(write_report):
    write_report("SELECT 'France' AS country, 12.50 AS revenue")
    assert run_report("probe").splitlines() == [
        " country   revenue",
        "───────────────────",
        " France      12.50",
    ]


def test_csv_is_written(write_report):
    write_report("SELECT 'France' AS country, 12.50 AS revenue")
    assert run_report("probe", "--format", "csv") == "country,revenue\nFrance,12.50\n"


def test_json_is_written(write_report):
    write_report("SELECT 'France' AS country, 12.50 AS revenue")
    assert run_report("probe", "--format", "json") == '[\n{"country":"France","revenue":12.50}\n]\n'


@pytest.mark.parametrize("name", ["country_contribution", "repeat_buyer_revenue", "top_country_relationships"])
@pytest.mark.parametrize("format_name", ["table", "csv", "json"])
def test_a_report_of_the_project_runs_without_sales(name, format_name):
    assert run_report(name, "--format", format_name)


def test_the_list_has_names_and_titles(write_report):
    write_report("SELECT 1 AS one")
    assert json.loads(run_report("--list", "--format", "json")) == [
        {"name": "probe", "topic": "Other", "title": "The probe"}
    ]


def test_the_list_writes_invalid_files_to_standard_error(write_report, sql_dir):
    write_report("SELECT 1 AS one")
    (sql_dir / "bad.sql").write_text("SELECT 1")
    out, err = StringIO(), StringIO()
    call_command("run_report", "--list", stdout=out, stderr=err)
    assert "bad" not in out.getvalue()
    assert "bad.sql, line 1: the file must begin with" in err.getvalue()


@pytest.mark.parametrize("argument", ["--list", "probe"])
def test_a_folder_of_reports_that_cannot_be_read_exits_with_1(settings, sql_dir, argument):
    settings.SQL_DIR = sql_dir / "nowhere"
    with pytest.raises(CommandError, match=r"SQL_DIR is .*nowhere, which cannot be read: No such file") as caught:
        call_command("run_report", argument)
    assert caught.value.returncode == 1


def test_an_unknown_report_exits_with_2_and_lists_the_names(write_report):
    write_report("SELECT 1 AS one")
    with pytest.raises(CommandError, match=r"no report 'prob'. The reports are: probe\.") as caught:
        call_command("run_report", "prob")
    assert caught.value.returncode == 2


def test_an_error_in_the_sql_exits_with_1(write_report):
    write_report("SELECT nope")
    with pytest.raises(CommandError, match=r'probe\.sql: column "nope" does not exist\nLINE 5') as caught:
        call_command("run_report", "probe")
    assert caught.value.returncode == 1


def test_an_invalid_file_exits_with_1_and_names_the_line(sql_dir):
    (sql_dir / "bad.sql").write_text("SELECT 1")
    with pytest.raises(CommandError, match=r"bad\.sql, line 1") as caught:
        call_command("run_report", "bad")
    assert caught.value.returncode == 1


def test_output_writes_a_file_and_nothing_to_standard_output(write_report, tmp_path):
    write_report("SELECT 'é' AS letter")
    assert run_report("probe", "--quiet", "--output", str(tmp_path / "out.csv")) == ""
    assert (tmp_path / "out.csv").read_bytes() == "letter\né\n".encode()


def test_a_report_that_fails_midway_keeps_the_old_file(write_report, tmp_path):
    write_report("SELECT 1 / (5000 - n) AS x FROM generate_series(1, 9000) AS n")
    (tmp_path / "out.csv").write_text("old")
    with pytest.raises(CommandError, match="division by zero"):
        call_command("run_report", "probe", "--format", "csv", "--output", str(tmp_path / "out.csv"))
    assert (tmp_path / "out.csv").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "sql"]


def test_a_missing_folder_is_an_error_before_the_report_runs(write_report, tmp_path):
    write_report("SELECT pg_sleep(50) AS nap")
    with pytest.raises(CommandError, match=r"out\.csv cannot be written: there is no folder .*gone"):
        call_command("run_report", "probe", "--output", str(tmp_path / "gone" / "out.csv"))


def test_an_unwritable_manifest_is_an_error_before_the_report_runs(write_report, tmp_path):
    write_report("SELECT 1 AS one")
    (tmp_path / "out.csv.manifest.json").mkdir()
    message, code = failure_of("probe", "--output", str(tmp_path / "out.csv"), "--manifest")
    assert message == f"{tmp_path}/out.csv.manifest.json cannot be written: it is not an ordinary file"
    assert code == 1
    assert not (tmp_path / "out.csv").exists()
    assert not ReportRun.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--list", "--explain"], "not allowed with"),
        (["--param", "start"], "'start' is not of the form NAME=VALUE"),
        (["--param", "start=1"], "start is not a parameter of this report; it has no parameters"),
        (["--timeout", "soon"], "is not a duration"),
        (["--limit", "0"], "not a whole number of at least 1"),
        (["--limit", "9223372036854775808"], "has more than 18 digits"),
        (["--manifest"], "Name it with --output"),
    ],
)
def test_a_usage_error_is_reported_and_nothing_runs(write_report, arguments, message):
    write_report("SELECT 1 AS one")
    assert message in failure_of("probe", *arguments)[0]
    assert not ReportRun.objects.exists()


def test_parameters_are_bound(write_report):
    write_report("SELECT %(day)s + 1 AS next, %(least)s * 2 AS twice", header=PARAMETERS)
    assert run_report("probe", "--format", "csv", "--param", "least=21") == "next,twice\n2021-01-08,42\n"
    assert run_report("probe", "--format", "csv", "--param", "day=2021-02-28", "--param", "least=+1") == (
        "next,twice\n2021-03-01,2\n"
    )


def test_an_empty_value_is_null_and_not_the_default(write_report):
    write_report("SELECT %(day)s IS NULL AS missing, %(least)s AS least", header=PARAMETERS)
    assert run_report("probe", "--format", "csv", "--param", "day=", "--param", "least=1") == "missing,least\ntrue,1\n"


def test_all_invalid_parameters_are_named_and_nothing_runs(write_report):
    write_report("SELECT %(day)s AS day, %(least)s AS least", header=PARAMETERS)
    message, code = failure_of("probe", "--param", "day=soon", "--param", "lest=1")
    assert code == 2
    assert "day must be a date, such as 2021-01-31" in message
    assert "least is required" in message
    assert "lest is not a parameter of this report; its parameters are day, least" in message
    assert not ReportRun.objects.exists()


def test_a_repeated_parameter_is_refused(write_report):
    write_report("SELECT %(day)s AS day, %(least)s AS least", header=PARAMETERS)
    assert failure_of("probe", "--param", "least=1", "--param", "least=2") == ("least must be given once", 2)


def test_describe_shows_the_report_and_its_parameters(write_report):
    write_report("SELECT %(day)s AS day, %(least)s AS least", header=PARAMETERS)
    output = run_report("probe", "--describe")
    assert output.startswith("The probe\n\nWhat <b>probe</b> does.\n")
    assert "day" in output
    assert "2021-01-07" in output
    assert "The day." in output
    assert not ReportRun.objects.exists()


def test_a_described_report_can_be_written_to_a_file(write_report, tmp_path):
    write_report("SELECT %(day)s AS day, %(least)s AS least", header=PARAMETERS)
    assert run_report("probe", "--describe", "--output", str(tmp_path / "probe.md")) == ""
    lines = (tmp_path / "probe.md").read_text().splitlines()
    assert lines[:4] == ["The probe", "", "What <b>probe</b> does.", ""]
    assert lines[4].startswith("| parameter | type |")


def test_a_described_report_can_be_an_excel_file(write_report, tmp_path):
    write_report("SELECT %(day)s AS day, %(least)s AS least", header=PARAMETERS)
    assert run_report("probe", "--describe", "--output", str(tmp_path / "probe.xlsx")) == ""
    sheet = openpyxl.load_workbook(tmp_path / "probe.xlsx").active
    assert [cell.value for cell in sheet["A"]] == ["Parameter", "day", "least"]


def test_a_dry_run_shows_what_would_run_and_runs_nothing(write_report):
    write_report("SELECT %(day)s AS day, %(least)s AS least, pg_sleep(60) AS nap", header=PARAMETERS)
    out, err = StringIO(), StringIO()
    call_command("run_report", "probe", "--param", "least=3", "--dry-run", stdout=out, stderr=err)
    assert (out.getvalue(), err.getvalue()) == (
        "",
        "Would run probe with day=2021-01-07, least=3. Its columns are day, least, nap.\n",
    )
    assert not ReportRun.objects.exists()


def test_a_quiet_dry_run_prints_nothing(write_report):
    write_report("SELECT 1 AS one")
    out, err = StringIO(), StringIO()
    call_command("run_report", "probe", "--dry-run", "--quiet", stdout=out, stderr=err)
    assert (out.getvalue(), err.getvalue()) == ("", "")


def test_a_dry_run_finds_errors_in_the_sql(write_report):
    write_report("SELECT nope")
    assert failure_of("probe", "--dry-run")[1] == 1


def test_explain_shows_the_plan_and_runs_nothing(write_report):
    write_report("SELECT COUNT(*) AS sales, pg_sleep(60) AS nap FROM sales")
    assert "on public.sales" in run_report("probe", "--explain")
    assert not ReportRun.objects.exists()


def test_the_plan_can_be_written_to_a_file(write_report, tmp_path):
    write_report("SELECT COUNT(*) AS sales FROM sales")
    assert run_report("probe", "--explain", "--output", str(tmp_path / "plan.txt")) == ""
    assert "on public.sales" in (tmp_path / "plan.txt").read_text()


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("a.CSV", b"one\n"),
        ("a.json", b"["),
        ("a.jsonl", b"{"),
        ("a.parquet", b"PAR1"),
        ("a.xlsx", b"PK"),
        ("a.md", b"| one"),
        ("a.txt", b" one"),
    ],
)
def test_the_extension_of_the_file_chooses_the_format(write_report, tmp_path, name, start):
    write_report("SELECT 1 AS one")
    run_report("probe", "--quiet", "--output", str(tmp_path / name))
    assert (tmp_path / name).read_bytes().startswith(start)


@pytest.mark.parametrize("name", ["a", "a.tsv", "a.csv.gz"])
def test_a_name_that_does_not_imply_a_format_exits_with_2(write_report, tmp_path, name):
    write_report("SELECT 1 AS one")
    file = str(tmp_path / name)
    assert failure_of("probe", "--output", file) == (f"The name {file} does not imply a format. Add --format.", 2)
    assert failure_of("--list", "--output", file)[1] == 2
    assert not ReportRun.objects.exists()
    run_report("probe", "--quiet", "--output", file, "--format", "csv")
    assert (tmp_path / name).read_bytes() == b"one\n1\n"


def test_a_loop_of_symbolic_links_cannot_be_written(write_report, tmp_path):
    write_report("SELECT 1 AS one")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    message, code = failure_of("probe", "--output", str(tmp_path / "loop.csv"))
    assert (message.startswith(f"{tmp_path}/loop.csv cannot be written: "), code) == (True, 1)


def test_a_manifest_cannot_describe_a_file_whose_name_is_not_utf_8(write_report, tmp_path):
    write_report("SELECT 1 AS one")
    name = os.fsdecode(bytes(tmp_path) + b"/\xff.csv")
    assert failure_of("probe", "--output", name, "--manifest") == ("--manifest needs a file whose name is UTF-8.", 2)


def test_a_manifest_describes_its_file(write_report, tmp_path):
    record_sales([sale_event(), sale_event()])
    report = write_report("SELECT id, %(day)s AS day, %(least)s AS least FROM sales ORDER BY id", header=PARAMETERS)
    file = tmp_path / "out.csv"
    run_report("probe", "--quiet", "--output", str(file), "--manifest", "--param", "least=1")
    content = json.loads((tmp_path / "out.csv.manifest.json").read_text())
    with connection.cursor() as cursor:
        cursor.execute("""SELECT to_char(max(received_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM sales""")
        (newest,) = cursor.fetchone()
    assert content == {
        "file": "out.csv",
        "report": "probe",
        "format": "csv",
        "parameters": {"day": "2021-01-07", "least": "1"},
        "rows": 2,
        "bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "sql_sha256": hashlib.sha256(report.sql.encode()).hexdigest(),
        "truncated": False,
        "warnings": [],
        "sales": 2,
        "newest_received_at": newest,
        "run": str(ReportRun.objects.get().token),
    }


@pytest.mark.parametrize("format_name", ["csv", "json"])
@pytest.mark.parametrize(("limit", "truncated"), [(9, True), (10, False), (11, False)])
def test_a_limit_truncates_the_result_and_says_so(write_report, tmp_path, format_name, limit, truncated):
    write_report("SELECT generate_series(1, 10) AS n")
    file = tmp_path / f"out.{format_name}"
    err = StringIO()
    call_command("run_report", "probe", "--output", str(file), "--manifest", "--limit", str(limit), stderr=err)
    content = json.loads(file.with_name(f"{file.name}.manifest.json").read_text())
    assert (content["rows"], content["truncated"]) == (min(limit, 10), truncated)
    assert ("The result is truncated to the 9 rows of --limit." in err.getvalue()) == truncated


def test_the_numbers_of_rows_and_bytes_agree_with_their_nouns(write_report, tmp_path):
    write_report("SELECT generate_series(1, 2) AS n")
    err = StringIO()
    call_command("run_report", "probe", "--output", str(tmp_path / "out.csv"), "--limit", "1", stderr=err)
    assert "The result is truncated to the 1 row of --limit." in err.getvalue()
    assert "Wrote 1 row, 4 bytes, to " in err.getvalue()


def test_a_failed_report_has_no_manifest(write_report, tmp_path):
    write_report("SELECT 1 / (5000 - n) AS x FROM generate_series(1, 9000) AS n")
    assert failure_of("probe", "--output", str(tmp_path / "out.csv"), "--manifest")[1] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["sql"]


def test_fail_on_empty_exits_with_3(write_report, tmp_path):
    write_report("SELECT 1 AS one WHERE false")
    file = tmp_path / "out.csv"
    assert failure_of("probe", "--fail-on-empty", "--output", str(file)) == ("probe has no rows.", 3)
    assert not file.exists()
    assert run_report("probe", "--format", "csv") == "one\n"
    assert list(ReportRun.objects.order_by("id").values_list("outcome", flat=True)) == ["empty", "empty"]


def test_a_failed_assertion_exits_with_4_and_writes_nothing(write_report, tmp_path):
    write_report("SELECT 1 AS one", header='[[assertions]]\nexpression = "SUM(one) > 1"\nmessage = "Too little."\n')
    file = tmp_path / "out.csv"
    file.write_text("old")
    assert failure_of("probe", "--output", str(file)) == ("probe.sql: the result failed an assertion. Too little.", 4)
    assert file.read_text() == "old"
    assert ReportRun.objects.get().outcome == "failed assertion"


def test_a_warning_goes_to_standard_error(write_report):
    write_report("SELECT 1 AS one", header='[[assertions]]\nrows = "> 1"\nseverity = "warn"\n')
    out, err = StringIO(), StringIO()
    call_command("run_report", "probe", "--format", "csv", stdout=out, stderr=err)
    assert out.getvalue() == "one\n1\n"
    assert err.getvalue() == "Warning: It is not true that the number of rows is > 1.\n"
    assert run_report("probe", "--format", "csv", "--quiet") == "one\n1\n"


def test_a_timeout_exits_with_5(write_report):
    write_report("SELECT pg_sleep(30) AS nap")
    message, code = failure_of("probe", "--timeout", "1s")
    assert code == 5
    assert "The limit is 1 second " in message
    assert ReportRun.objects.get().outcome == "timed out"


def test_the_reports_own_timeout_is_the_default(write_report):
    write_report("SELECT pg_sleep(30) AS nap", header='timeout = "1s"\n')
    assert failure_of("probe")[1] == 5


def test_a_user_without_a_name_can_run_a_report(write_report, monkeypatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    write_report("SELECT 1 AS one")
    run_report("probe", "--format", "csv")
    assert ReportRun.objects.get().sender == f"user {os.getuid()}"
