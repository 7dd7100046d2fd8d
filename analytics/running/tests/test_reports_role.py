"""Reports connect as a role that can read the tables of sales and countries, and nothing else."""

import re
from contextlib import contextmanager

import psycopg
import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction

from analytics.definitions.reports import load_reports
from analytics.running import runner
from analytics.running.errors import ReportFailed
from analytics.running.reports_role import READABLE, prepare_reports_role, role_warnings
from analytics.running.tests.statements import WRITES
from analytics.running.tests.test_runner import rows_of
from analytics.tests.helpers import documentation
from countries.models import Country
from sales import models as sales
from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.tests.helpers import sale_event

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

# What clients sent, and how the service works.
PRIVATE = (
    sales.ArchivedMonth,
    sales.IngestMinute,
    sales.LedgerEntry,
    sales.VoidedSale,
    sales.Brand,
    sales.EventId,
    sales.IdempotencyKey,
    sales.RejectedEvent,
    sales.FileImport,
)
(DOCUMENTED,) = re.findall(r"```sql\n(CREATE ROLE reports.*?)```", documentation(), re.DOTALL)
FORBIDDEN = {
    "a file": "SELECT pg_read_file('/etc/passwd') AS text",
    "a binary file": "SELECT pg_read_binary_file('/etc/passwd') AS text",
    "a folder": "SELECT pg_ls_dir('/') AS name",
    "a large object from a file": "SELECT lo_import('/etc/passwd') AS id",
    "a large object": "SELECT lo_from_bytea(0, 'text') AS id",
    "passwords": "SELECT password FROM auth_user",
    "sessions": "SELECT session_data FROM django_session",
    "API keys": "SELECT hashed_key FROM api_key",
    "bodies of requests": "SELECT * FROM rejected_events",
    "the log of runs": "SELECT * FROM report_runs",
    "passwords of roles": "SELECT rolpassword FROM pg_authid",
    "passwords, as XML": "SELECT query_to_xml('SELECT password FROM auth_user', true, false, '')::text AS xml",
    "another role": "SELECT set_config('role', 'salesengine', false) AS role",
    "another user": "SELECT set_config('session_authorization', 'salesengine', false) AS role",
    "writing": "SELECT set_config('transaction_read_only', 'off', true) AS off",
    "other sessions": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'salesengine'",
    "a program": "COPY (SELECT 1) TO PROGRAM 'true'",
    "another server": "SELECT * FROM dblink('dbname=salesengine', 'SELECT 1') AS t(one int)",
    "the configuration": "SELECT pg_reload_conf() AS done",
}

REFUSALS = "permission denied|syntax error|does not exist|must be set before|read-only transaction"


@contextmanager
def unguarded_connection():
    """Open a connection of the role without the runner's guards."""
    connections["reports"].ensure_connection()
    yield connections["reports"].connection
    connections["reports"].close()


def run_every_report():
    record_sales([sale_event()])
    reports = load_reports()
    assert reports
    for report in reports:
        with runner.run(report, report.parse({})) as result:
            list(result.rows)


def test_the_role_can_run_every_report():
    run_every_report()


def test_reports_run_as_the_role(write_report):
    assert rows_of(write_report("SELECT current_user AS name")) == [("salesengine_reports",)]


def test_each_table_of_sales_and_countries_is_readable_or_private():
    models = [*apps.get_app_config("sales").get_models(), *apps.get_app_config("countries").get_models()]
    with connection.cursor() as cursor:
        cursor.execute("SELECT viewname FROM pg_views WHERE schemaname = 'public'")
        views = [name for (name,) in cursor.fetchall()]

    private = {"ledger_sales", *(model._meta.db_table for model in PRIVATE)}
    assert {model._meta.db_table for model in models} | set(views) == set(READABLE) | private


@pytest.mark.parametrize("table", READABLE)
def test_a_report_can_read_each_readable_table(write_report, table):
    rows_of(write_report(f"SELECT 1 AS one FROM {table}"))


@pytest.mark.parametrize("sql", FORBIDDEN.values(), ids=FORBIDDEN)
def test_a_report_reaches_nothing_else(api, write_report, sql):
    report = write_report(sql)

    with pytest.raises(ReportFailed) as error:
        rows_of(report)
    assert re.search(
        "permission denied|syntax error|does not exist|must be set before|read-only transaction", str(error.value)
    )
    assert api.get("/reports/probe").status_code == 422
    with pytest.raises(CommandError) as command_error:
        call_command("run_report", "probe")
    assert command_error.value.returncode == 1


@pytest.mark.parametrize("sql", FORBIDDEN.values(), ids=FORBIDDEN)
def test_an_assertion_reaches_nothing_else(write_report, sql):
    header = f'[[assertions]]\nexpression = "(SELECT COUNT(*) FROM ({sql}) AS answer) > -1"\n'

    with pytest.raises(ReportFailed):
        rows_of(write_report("SELECT 1 AS one", header=header))


@pytest.mark.parametrize(
    "sql",
    [
        *(sql for sql in WRITES.values() if "set_config" not in sql),
        "INSERT INTO sales (id_order) VALUES ('1')",
        "UPDATE sales SET revenue = 0",
        "TRUNCATE sales",
        "DELETE FROM ledger",
        "CREATE TABLE mine (id int)",
        "SET ROLE pg_read_all_data",
    ],
)
def test_the_role_cannot_write_without_the_runners_guards(sql):
    Country.objects.create(id_country="170", country_name="France")
    record_sales([sale_event()])
    before = list(Sale.objects.values()), list(Country.objects.values())
    with unguarded_connection() as database, pytest.raises(psycopg.errors.InsufficientPrivilege):
        database.execute(sql)
    assert (list(Sale.objects.values()), list(Country.objects.values())) == before


def test_the_role_needs_no_warning():
    assert role_warnings(["reports"]) == []


def test_the_views_of_an_extension_need_no_warning():
    with connection.cursor() as cursor:
        cursor.execute("CREATE VIEW shards AS SELECT 1; GRANT SELECT ON shards TO PUBLIC")
        try:
            assert [warning.id for warning in role_warnings(["reports"])] == ["analytics.W003"]
            cursor.execute("ALTER EXTENSION plpgsql ADD VIEW shards")
            assert role_warnings(["reports"]) == []
            cursor.execute("ALTER EXTENSION plpgsql DROP VIEW shards")
        finally:
            cursor.execute("DROP VIEW shards")


def test_the_role_may_read_a_partition_of_the_sales():
    role = connections["reports"].settings_dict["USER"]
    with connection.cursor() as cursor:  # as on the table before partitions
        cursor.execute(f"GRANT SELECT ON sales_other TO {role}")
        try:
            assert role_warnings(["reports"]) == []
        finally:
            cursor.execute(f"REVOKE SELECT ON sales_other FROM {role}")


def test_reports_with_the_rights_of_the_service_are_a_warning(monkeypatch):
    monkeypatch.setitem(connections["reports"].settings_dict, "USER", "salesengine")

    [warning] = role_warnings(["reports"])

    assert warning.id == "analytics.W003"
    assert re.search(r"as salesengine, which can read or change \d+ other tables, such as api_key", warning.msg)


def test_reports_that_cannot_log_in_are_a_warning(monkeypatch, capsys):
    monkeypatch.setitem(connections["reports"].settings_dict, "USER", "nobody")

    call_command("check")
    [warning] = role_warnings(["reports"])

    assert "(analytics.W002) reports cannot run" in capsys.readouterr().err

    assert warning.id == "analytics.W002"
    assert 'role "nobody" does not exist' in warning.msg
    assert re.search(r"CREATE ROLE \"nobody\" LOGIN PASSWORD 'SCRAM-SHA-256\$", warning.hint)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("CREATE ROLE nobody")  # as if it had another password
        [warning] = role_warnings(["reports"])
        transaction.set_rollback(True)
    assert 'ALTER ROLE "nobody"' in warning.hint


def test_the_documented_role_can_read_what_reports_need(monkeypatch, settings):
    settings.REPORTS_DATABASE_URL = "postgres://reports@/salesengine"
    monkeypatch.setitem(connections["reports"].settings_dict, "USER", "reports")
    with connection.cursor() as cursor:
        cursor.execute(DOCUMENTED)
    try:
        prepare_reports_role()
        assert role_warnings(["reports"]) == []
        run_every_report()
        connections["reports"].close()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP OWNED BY reports; DROP ROLE reports")
