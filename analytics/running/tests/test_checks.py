"""`manage.py check` finds the errors in report files."""

import os
import re
import subprocess
import sys
from datetime import date

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from analytics.definitions.reports import get_report, load_reports
from analytics.running.checks import check_report_sql
from analytics.running.errors import ReportDatabaseUnavailable, ReportFailed, TimedOut
from analytics.running.runner import run
from analytics.tests.helpers import documentation
from sales.ingest.writer import record_sales
from sales.tests.helpers import sale_event
from salesengine import distribution

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

HEADER = 'title = "Probe"\ndescription = "Probes."\n'


def check_output(sql_dir, text, name="probe"):
    """Write a report file, and return the errors that the command finds."""
    (sql_dir / f"{name}.sql").write_text(text)
    with pytest.raises(SystemCheckError) as caught:
        call_command("check")
    return str(caught.value)


def test_the_projects_reports_have_no_errors():
    assert len(load_reports()) >= 3
    call_command("check", "--fail-level", "WARNING")


def test_a_file_without_a_header_is_an_error(sql_dir):
    assert f"{sql_dir}/probe.sql:1: (analytics.E001)" in check_output(sql_dir, "SELECT 1 AS one")


@pytest.mark.parametrize("name", ["nowhere", "probe.sql"])
def test_a_folder_of_reports_that_cannot_be_read_is_an_error(sql_dir, settings, name):
    (sql_dir / "probe.sql").write_text(f"/*\n{HEADER}*/\nSELECT 1 AS one")
    settings.SQL_DIR = sql_dir / name
    with pytest.raises(SystemCheckError, match=rf"\(analytics.E006\) SQL_DIR is {settings.SQL_DIR}, which cannot be"):
        call_command("check")


def test_an_unknown_scope_is_an_error(sql_dir):
    output = check_output(sql_dir, f'/*\n{HEADER}requires = ["write"]\n*/\nSELECT 1 AS one')
    message = "requires.0: Input should be 'ingest', 'read', 'correct', 'reports' or 'metrics'"
    assert f"{sql_dir}/probe.sql:4: (analytics.E001) {message}" in output


def test_an_error_in_the_sql_has_its_line(sql_dir):
    output = check_output(sql_dir, f"/*\n{HEADER}*/\nSELECT 1 AS one\nFROM nowhere")
    assert f'{sql_dir}/probe.sql:6: (analytics.E002) relation "nowhere" does not exist' in output


def test_a_delete_is_an_error(sql_dir):
    assert "A report must be one SELECT" in check_output(sql_dir, f"/*\n{HEADER}*/\nDELETE FROM sales")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ('[columns.two]\nformat = "money"', "columns names 'two'"),
        ('[columns.one]\nsales = { id_buyer = "two" }', "sales.id_buyer of one names 'two'"),
        ('[chart]\ntype = "bar"\nx = "two"\ny = ["one"]', "chart.x names 'two'"),
        ('[chart]\ntype = "bar"\nx = "one"\ny = ["two"]', "chart.y names 'two'"),
        ('[chart]\ntype = "bar"\nx = "one"\ny = ["one"]\nseries = "two"', "chart.series names 'two'"),
    ],
)
def test_a_header_with_an_unknown_column_is_an_error(sql_dir, header, message):
    output = check_output(sql_dir, f"/*\n{HEADER}{header}\n*/\nSELECT 1 AS one")
    assert "(analytics.E003)" in output
    assert f"{message}; the columns of the result are one" in output


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("SUM(two) > 0", 'column "two" does not exist'),
        ("COUNT(*)", "COUNT(*) is of type int8, not boolean"),
        ("true), (true", "the assertion true), (true is not one expression"),
    ],
)
def test_an_invalid_assertion_is_an_error(sql_dir, expression, message):
    assert message in check_output(
        sql_dir, f'/*\n{HEADER}[[assertions]]\nexpression = "{expression}"\n*/\nSELECT 1 AS one'
    )


@pytest.mark.parametrize(
    ("assertion", "sql", "line"),
    [
        ('expression = "MIN(one) > 0"', "SELECT 1 AS one,\n    two", 15),
        ('expression = "MIN(two) > 0"', "SELECT 1 AS one", 8),
        ('expression = """\nMIN(one) > 0\n    AND MIN(two) > 0\n"""', "SELECT 1 AS one", 10),
        ('expression = "COUNT(*)"', "SELECT 1 AS one", 8),
    ],
)
def test_an_error_in_an_assertion_or_below_it_has_its_line(sql_dir, assertion, sql, line):
    assertions = ['rows = ">= 1"\n', assertion, 'expression = """\nTRUE -- or\n"""']
    header = HEADER + "\n".join(f"[[assertions]]\n{assertion}" for assertion in assertions)
    output = check_output(sql_dir, f"/*\n{header}\n*/\n{sql}")
    assert f"probe.sql:{line}: (analytics.E002)" in output


@pytest.mark.parametrize(
    ("depends_on", "sql"),
    [
        ('"sales"', "SELECT brand, 'a' AS today FROM sales -- as of now"),
        ('"sales"', "SELECT day FROM generate_series(DATE '2021-01-01', DATE '2021-02-01', '1 day') AS day"),
        ('"country"', "SELECT country_name FROM country"),
        ('"sales", "country"', "SELECT * FROM sales s WHERE EXISTS (SELECT FROM country WHERE id_country = s.brand)"),
        ('"sales"', "SELECT day, revenue FROM country_sales"),
        ('"sales"', "SELECT day FROM feedback_daily_total UNION ALL SELECT day FROM ledger_tallies"),
        ('"sales", "country"', "SELECT 1 AS one"),
    ],
)
def test_depends_on_may_cover_more_than_the_report_reads(sql_dir, depends_on, sql):
    (sql_dir / "probe.sql").write_text(f"/*\n{HEADER}depends_on = [{depends_on}]\n*/\n{sql}")
    call_command("check", "--fail-level", "WARNING")


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SELECT country_name FROM country", "country"),
        ("SELECT COUNT(*) AS n FROM country_day", "country_day"),
        ("SELECT brand FROM sales WHERE id IN (SELECT id FROM ledger_tallies)", "ledger"),
        ("SELECT (SELECT MAX(sales_count) FROM feedback_total) AS n FROM sales", "feedback_total"),
        ("SELECT day FROM country_sales_in_journal()", "country_sales_in_journal"),
        ("WITH days AS MATERIALIZED (SELECT day FROM country_day) SELECT day FROM days", "country_day"),
        ("SELECT id FROM sales WHERE brand <> '%' AND brand IN (SELECT day::text FROM country_day)", "country_day"),
    ],
)
def test_a_table_that_depends_on_does_not_cover_is_an_error(sql_dir, sql, tables):
    output = check_output(sql_dir, f'/*\n{HEADER}depends_on = ["sales"]\n*/\n{sql}')
    message = f"the report reads {tables}, which depends_on does not cover"
    assert f"{sql_dir}/probe.sql:4: (analytics.E004) {message}" in output


def test_a_table_that_is_only_read_for_some_parameters_is_an_error(sql_dir):
    parameter = '[parameters.name]\ntype = "text"\n'
    sql = """SELECT id FROM sales WHERE %(name)s IS NULL
        OR id_buyer_country IN (SELECT id_country FROM country WHERE country_name = %(name)s)"""
    output = check_output(sql_dir, f'/*\n{HEADER}depends_on = ["sales"]\n{parameter}*/\n{sql}')
    assert "(analytics.E004) the report reads country" in output


def test_a_table_that_an_assertion_reads_must_be_declared(sql_dir):
    assertion = '[[assertions]]\nexpression = "(SELECT COUNT(*) FROM country_day) > 0"\n'
    output = check_output(sql_dir, f'/*\n{HEADER}depends_on = ["sales"]\n{assertion}*/\nSELECT id FROM sales')
    assert "(analytics.E004) the report reads country_day" in output


def test_reports_of_a_cluster_are_not_planned_for_all_parameters(sql_dir, monkeypatch):
    monkeypatch.setattr(distribution, "_answers", {"reports": True})
    (sql_dir / "probe.sql").write_text(f'/*\n{HEADER}depends_on = ["sales"]\n*/\nSELECT day FROM country_day')

    call_command("check", "--fail-level", "WARNING")


@pytest.mark.parametrize("has_database", [True, False])
def test_a_volatile_report_must_not_declare_depends_on(sql_dir, monkeypatch, has_database):
    monkeypatch.setattr("analytics.management.commands.check._available_databases", lambda: ["reports"] * has_database)
    sql = "SELECT id FROM sales WHERE date_payment > CURRENT_DATE"
    output = check_output(sql_dir, f'/*\n{HEADER}depends_on = ["sales"]\n*/\n{sql}')
    assert output.count(f"{sql_dir}/probe.sql:4: (analytics.E004) depends_on is declared, but the SQL depends on") == 1


def test_a_report_without_depends_on_may_read_any_table_of_sales(sql_dir):
    (sql_dir / "probe.sql").write_text(f"/*\n{HEADER}*/\nSELECT now() AS n, day FROM country_day")
    call_command("check")


def test_depends_on_has_two_names(sql_dir):
    output = check_output(sql_dir, f'/*\n{HEADER}depends_on = ["api_key"]\n*/\nSELECT 1 AS one')
    assert "probe.sql:4: (analytics.E001) depends_on.0: Input should be 'sales' or 'country'" in output


def test_an_error_of_a_run_has_the_line_of_the_file(write_report):
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


def test_an_invalid_file_does_not_stop_migrations(server, server_dir, sql_dir):
    (sql_dir / "probe.sql").write_text("SELECT 1 AS one")
    environment = os.environ | {"SQL_DIR": str(sql_dir), "LOCAL_DIR": str(server_dir), "ENV_FILE": os.devnull}
    for command, code in ((["migrate", "--check"], 0), (["check"], 1)):
        finished = subprocess.run(
            [sys.executable, "manage.py", *command], cwd=settings.BASE_DIR, env=environment, capture_output=True
        )
        assert finished.returncode == code, finished.stderr


def test_the_errors_of_all_files_are_listed(sql_dir):
    (sql_dir / "a.sql").write_text("SELECT 1 AS one")
    output = check_output(sql_dir, f"/*\n{HEADER}*/\nSELECT one", "b")
    assert "a.sql:1: (analytics.E001)" in output
    assert "b.sql:5: (analytics.E002)" in output


def test_a_report_is_planned_without_values(sql_dir):
    (sql_dir / "probe.sql").write_text(
        f'/*\n{HEADER}[parameters.day]\ntype = "date"\nrequired = true\n*/\nSELECT %(day)s + 1 AS next'
    )
    call_command("check")


def test_the_sql_is_not_checked_while_migrations_are_pending(sql_dir, monkeypatch):
    (sql_dir / "probe.sql").write_text(f"/*\n{HEADER}*/\nSELECT 1 AS one FROM nowhere")
    assert [error.id for error in check_report_sql(["reports"])] == ["analytics.E002"]
    monkeypatch.setattr("analytics.running.checks.pending_migrations", lambda: ["one"])
    assert check_report_sql(["reports"]) == []


@pytest.mark.parametrize("error", [ReportDatabaseUnavailable, TimedOut])
def test_a_database_that_is_gone_or_waits_for_a_lock_is_no_error_of_a_report(sql_dir, monkeypatch, error):
    def fail(report, bound):
        raise error("probe.sql: the connection was lost")

    (sql_dir / "probe.sql").write_text(f"/*\n{HEADER}*/\nSELECT 1 AS one")
    monkeypatch.setattr("analytics.running.checks.result_columns", fail)
    assert [message.id for message in check_report_sql(["reports"])] == ["analytics.W001"]


def test_only_files_are_checked_without_a_database(sql_dir, monkeypatch):
    monkeypatch.setattr("analytics.management.commands.check._available_databases", list)
    (sql_dir / "probe.sql").write_text(f"/*\n{HEADER}*/\nSELECT 1 AS one FROM nowhere")
    call_command("check")


def test_the_example_of_the_documentation_is_a_valid_report(sql_dir):
    (example,) = re.findall(r"```sql\n(/\*.*?)```", documentation(), re.DOTALL)
    (sql_dir / "sales_of_each_day.sql").write_text(example)
    call_command("check")
    record_sales([sale_event(DATE_PAYMENT="2021-01-07"), sale_event(DATE_PAYMENT="2021-01-07T23:59:59Z")])
    report = get_report("sales_of_each_day")
    with run(report, report.parse({"start": "2021-01-01"})) as result:
        assert list(result.rows) == [(date(2021, 1, 7), 2)]
