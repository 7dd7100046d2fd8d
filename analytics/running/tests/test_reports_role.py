"""The documented database role for reports can read what reports need, and nothing else."""

import re
from contextlib import contextmanager

import psycopg
import pytest
from django.db import connection, connections

from analytics.definitions.reports import load_reports
from analytics.running import runner
from analytics.running.tests.statements import WRITES
from analytics.tests.helpers import documentation
from countries.models import Country
from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.tests.helpers import sale_event

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

(GRANTS,) = re.findall(r"```sql\n(CREATE ROLE reports.*?)```", documentation(), re.DOTALL)


@pytest.fixture
def role(monkeypatch):
    """Run reports as the documented role."""
    with connection.cursor() as cursor:
        cursor.execute(GRANTS)
    connections["reports"].close()
    monkeypatch.setitem(connections["reports"].settings_dict, "USER", "reports")
    yield
    connections["reports"].close()
    with connection.cursor() as cursor:
        cursor.execute("DROP OWNED BY reports")
        cursor.execute("DROP ROLE reports")


@contextmanager
def open_connection():
    """Open a connection of that role without the runner's guards, and with its own read-only default off."""
    connections["reports"].ensure_connection()
    database = connections["reports"].connection
    database.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE")
    yield database
    connections["reports"].close()


def test_the_role_can_run_every_report(role):
    record_sales([sale_event()])
    reports = load_reports()
    assert reports
    for report in reports:
        with runner.run(report, report.parse({})) as result:
            list(result.rows)


@pytest.mark.parametrize(
    "sql",
    [
        *(sql for sql in WRITES.values() if "set_config" not in sql),
        "INSERT INTO sales (id_order) VALUES ('1')",
        "UPDATE sales SET revenue = 0",
        "TRUNCATE sales",
        "DELETE FROM feedback_journal",
        "CREATE TABLE mine (id int)",
        "SELECT * FROM auth_user",
        "SELECT * FROM api_key",
        "SELECT * FROM rejected_events",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SET ROLE pg_read_all_data",
    ],
)
def test_the_role_can_neither_write_nor_read_other_tables_without_the_runners_guards(role, sql):
    Country.objects.create(id_country="170", country_name="France")
    record_sales([sale_event()])
    before = list(Sale.objects.values()), list(Country.objects.values())
    with open_connection() as database, pytest.raises(psycopg.errors.InsufficientPrivilege):
        database.execute(sql)
    assert (list(Sale.objects.values()), list(Country.objects.values())) == before
