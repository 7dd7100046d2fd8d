"""What `manage.py check` says of report files."""

import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from analytics.definitions.reports import get_report, load_reports
from analytics.running.checks import check_report_sql
from analytics.running.errors import ReportFailed
from analytics.running.runner import run
from sales.ingest.writer import record_sales
from sales.tests.helpers import sale_event

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

HEADER = 'title = "Probe"\ndescription = "Probes."\n'


def said_of(sql_dir, text, name="probe"):
    """What the command says of a file."""
    (sql_dir / f"{name}.sql").write_text(text)
    with pytest.raises(SystemCheckError) as caught:
        call_command("check")
    return str(caught.value)


def test_the_reports_that_come_with_the_project_are_good():
    assert len(load_reports()) >= 3
    call_command("check", "--fail-level", "WARNING")


def test_a_file_without_a_header_is_named(sql_dir):
    assert f"{sql_dir}/probe.sql:1: (analytics.E001)" in said_of(sql_dir, "SELECT 1 AS one")


def test_sql_that_the_database_refuses_is_named_with_its_line(sql_dir):
    said = said_of(sql_dir, f"/*\n{HEADER}*/\nSELECT 1 AS one\nFROM nowhere")
    assert f'{sql_dir}/probe.sql:6: (analytics.E002) relation "nowhere" does not exist' in said


def test_a_delete_is_named(sql_dir):
    assert "A report is one SELECT" in said_of(sql_dir, f"/*\n{HEADER}*/\nDELETE FROM sales")


@pytest.mark.parametrize(
    ("header", "what"),
    [
        ('[columns.two]\nformat = "money"', "columns names 'two'"),
        ('[columns.one]\nsales = { id_buyer = "two" }', "sales.id_buyer of one names 'two'"),
        ('[chart]\ntype = "bar"\nx = "two"\ny = ["one"]', "chart.x names 'two'"),
        ('[chart]\ntype = "bar"\nx = "one"\ny = ["two"]', "chart.y names 'two'"),
        ('[chart]\ntype = "bar"\nx = "one"\ny = ["one"]\nseries = "two"', "chart.series names 'two'"),
    ],
)
def test_a_header_that_names_no_column_of_the_result_is_named(sql_dir, header, what):
    said = said_of(sql_dir, f"/*\n{HEADER}{header}\n*/\nSELECT 1 AS one")
    assert "(analytics.E003)" in said
    assert f"{what}; the columns of the result are one" in said


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("SUM(two) > 0", 'column "two" does not exist'),
        ("COUNT(*)", "COUNT(*) is of the type int8, not true or false"),
        ("true), (true", "the assertion true), (true is not one expression"),
    ],
)
def test_an_assertion_that_cannot_be_checked_is_named(sql_dir, expression, words):
    assert words in said_of(sql_dir, f'/*\n{HEADER}[[assertions]]\nexpression = "{expression}"\n*/\nSELECT 1 AS one')


@pytest.mark.parametrize(
    ("assertion", "sql", "line"),
    [
        ('expression = "MIN(one) > 0"', "SELECT 1 AS one,\n    two", 15),
        ('expression = "MIN(two) > 0"', "SELECT 1 AS one", 8),
        ('expression = """\nMIN(one) > 0\n    AND MIN(two) > 0\n"""', "SELECT 1 AS one", 10),
        ('expression = "COUNT(*)"', "SELECT 1 AS one", 8),
    ],
)
def test_the_line_is_that_of_the_file_whatever_is_asserted(sql_dir, assertion, sql, line):
    asserted = ['rows = ">= 1"\n', assertion, 'expression = """\nTRUE -- or\n"""']
    header = HEADER + "\n".join(f"[[assertions]]\n{each}" for each in asserted)
    said = said_of(sql_dir, f"/*\n{header}\n*/\n{sql}")
    assert f"probe.sql:{line}: (analytics.E002)" in said


def test_a_run_names_the_line_of_the_file_too(write_report):
    report = write_report(
        "SELECT 1 AS one,\n    1 / 0 AS two, %(day)s AS day, nope",
        header="""\
[parameters.day]
type = "date"
[[assertions]]
expression = "MIN(one) > 0"
[[assertions]]
rows = ">= 1"
""",
    )
    with pytest.raises(ReportFailed, match=r"(?m)^LINE 12: ") as caught, run(report, report.parse({})):
        pass
    assert report.path.read_text().splitlines()[11].endswith("nope"), caught.value


def test_a_bad_file_keeps_nobody_from_migrating(server, server_dir, sql_dir):
    (sql_dir / "probe.sql").write_text("SELECT 1 AS one")
    environment = os.environ | {"SQL_DIR": str(sql_dir), "LOCAL_DIR": str(server_dir), "ENV_FILE": os.devnull}
    for command, code in ((["migrate", "--check"], 0), (["check"], 1)):
        finished = subprocess.run(
            [sys.executable, "manage.py", *command], cwd=settings.BASE_DIR, env=environment, capture_output=True
        )
        assert finished.returncode == code, finished.stderr


def test_a_bad_file_does_not_hide_what_is_wrong_with_the_next(sql_dir):
    (sql_dir / "a.sql").write_text("SELECT 1 AS one")
    said = said_of(sql_dir, f"/*\n{HEADER}*/\nSELECT one", "b")
    assert "a.sql:1: (analytics.E001)" in said
    assert "b.sql:5: (analytics.E002)" in said


def test_parameters_are_planned_without_values(sql_dir):
    (sql_dir / "probe.sql").write_text(
        f'/*\n{HEADER}[parameters.day]\ntype = "date"\nrequired = true\n*/\nSELECT %(day)s + 1 AS next'
    )
    call_command("check")


def test_a_report_may_need_what_migrations_have_not_made_yet(sql_dir, monkeypatch):
    (sql_dir / "probe.sql").write_text(f"/*\n{HEADER}*/\nSELECT 1 AS one FROM nowhere")
    assert [error.id for error in check_report_sql(["reports"])] == ["analytics.E002"]
    monkeypatch.setattr("analytics.running.checks._are_migrations_waiting", lambda: True)
    assert check_report_sql(["reports"]) == []


def test_without_a_database_the_files_alone_are_checked(sql_dir, monkeypatch):
    monkeypatch.setattr("analytics.management.commands.check._database_answers", lambda: False)
    (sql_dir / "probe.sql").write_text(f"/*\n{HEADER}*/\nSELECT 1 AS one FROM nowhere")
    call_command("check")


def test_the_example_in_the_readme_is_a_good_report(sql_dir):
    readme = Path(settings.BASE_DIR, "README.md").read_text()
    (example,) = re.findall(r"```sql\n(/\*.*?)```", readme, re.DOTALL)
    (sql_dir / "sales_of_each_day.sql").write_text(example)
    call_command("check")
    record_sales([sale_event(DATE_PAYMENT="2021-01-07"), sale_event(DATE_PAYMENT="2021-01-07T23:59:59Z")])
    report = get_report("sales_of_each_day")
    with run(report, report.parse({"start": "2021-01-01"})) as result:
        assert list(result.rows) == [(date(2021, 1, 7), 2)]
