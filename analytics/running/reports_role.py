"""The database role of reports: it reads the tables of sales and countries, and nothing else."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import psycopg
from django.conf import settings
from django.core.checks import CheckMessage, Warning  # noqa: A004
from django.db import DatabaseError, OperationalError, connection, connections
from psycopg import sql

from analytics.running.query import DATABASE_ALIAS
from countries.models import Country
from sales import models as sales
from salesengine.plurals import counted

MODELS = (
    Country,
    sales.Sale,
    sales.Total,
    sales.DailyTotal,
    sales.UnfoldedFigures,
    sales.CountryTotal,
    sales.CountryDailyTotal,
    sales.CountryDay,
)
VIEWS = ("country_sales", "country_figures", "ledger_changes", "archived_parts")
READABLE = [*(model._meta.db_table for model in MODELS), *VIEWS]
DOCS = 'See "Restrict the reports" in docs/deployment.md.'


def prepare_reports_role() -> None:
    """Let the role of reports log in, and read READABLE. Raises DatabaseError if the database does not permit that.

    A role that REPORTS_DATABASE_URL names belongs to the operator: it only gets the right to read.
    """
    role = connections[DATABASE_ALIAS].settings_dict
    if not settings.REPORTS_DATABASE_URL and _login_error():
        _set_login(role["USER"], role["PASSWORD"])
    grant_reading(role["USER"])


def grant_reading(role: str) -> None:
    """Let a role read READABLE."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name FROM unnest(%s::text[]) AS name, pg_roles"
            " WHERE rolname = %s AND NOT has_table_privilege(rolname, name, 'SELECT')",
            [READABLE, role],
        )
        for (table,) in cursor.fetchall():
            grant = sql.SQL("GRANT SELECT ON {} TO {}")
            cursor.execute(grant.format(sql.Identifier(table), sql.Identifier(role)))


def role_warnings(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Return analytics.W002 if reports cannot log in, and W003 if they can reach more than READABLE."""
    if not databases:
        return []
    if error := _login_error():
        return [Warning(f"reports cannot run: {error}", hint=_login_hint(), id="analytics.W002")]
    others = _other_tables()
    if not others:
        return []
    user = connections[DATABASE_ALIAS].settings_dict["USER"]
    count = counted(len(others), "other table")
    message = f"reports connect as {user}, which can read or change {count}, such as {others[0]}"
    return [Warning(message, hint=f"Name another user in REPORTS_DATABASE_URL. {DOCS}", id="analytics.W003")]


def _login_error() -> str:
    """Return why the role cannot log in, or an empty text if it can."""
    try:
        connections[DATABASE_ALIAS].ensure_connection()
    except OperationalError as error:
        return str(error).strip()
    return ""


def _set_login(role: str, password: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_login_statement(role, password))


def _login_statement(role: str, password: str) -> sql.Composed:
    """Return the statement that creates the role, or sets its password."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
        verb = sql.SQL("ALTER" if cursor.fetchone() else "CREATE")
    return sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, sql.Identifier(role), _verifier(role, password))


def _verifier(role: str, password: str) -> sql.Literal:
    """Return what PostgreSQL stores in place of the password, so that its log does not contain the password."""
    connection.ensure_connection()
    pgconn: psycopg.pq.abc.PGconn = connection.connection.pgconn
    return sql.Literal(pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode())


def _login_hint() -> str:
    """Say what the operator can do."""
    role = connections[DATABASE_ALIAS].settings_dict
    if settings.REPORTS_DATABASE_URL:
        return f"REPORTS_DATABASE_URL must name a database and a user that can log in. {DOCS}"
    with suppress(DatabaseError):
        statement = _login_statement(role["USER"], role["PASSWORD"])
        return (
            "Run manage.py prepare. If it may not change roles, let an administrator of the database run this statement"
            f" before it:\n    {statement.as_string()};\nOr set REPORTS_DATABASE_URL. {DOCS}"
        )
    return DOCS


def _other_tables() -> list[str]:
    """Return the tables and views that the role may read although they are not READABLE, or may change.

    A partition counts as its table. The oldest one was the whole table once, so the role may still read it.
    """
    with connections[DATABASE_ALIAS].cursor() as cursor:
        cursor.execute(
            """
            SELECT relname FROM pg_class
            WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')
                AND (has_table_privilege(oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
                    OR has_table_privilege(oid, 'SELECT')
                        AND coalesce(pg_partition_root(oid)::regclass::text, relname) <> ALL (%s))
                -- The views of an extension, such as those on the shards of a cluster, tell nothing about sales.
                AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
            ORDER BY relname
            """,
            [READABLE],
        )
        return [name for (name,) in cursor.fetchall()]
