"""Run the SELECT of one report inside another SELECT, in a read-only transaction."""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import Error, connections, transaction
from django.db.backends.utils import CursorWrapper

from analytics.definitions.headers import Assertion
from analytics.definitions.parameters import BoundParameters
from analytics.definitions.reports import ReportDefinition
from analytics.running.deadline import client_deadline
from analytics.running.errors import AssertionFailed, ReportFailed, translate_error
from analytics.running.rows import ResultColumn, Row
from sales.totals.isolation import KEEP_MONTHS
from salesengine.database import WritingConnection
from salesengine.distribution import is_distributed

DATABASE_ALIAS = "reports"
DEFAULT_SESSION_NAME = "salesengine reports"  # in PostgreSQL's list of sessions
# Makes plain PostgreSQL faster, but a cluster slower: it would collect all rows of the part on one node.
MATERIALIZED = re.compile(r"\bAS\s+MATERIALIZED\b", re.IGNORECASE)
MAX_TIMEOUT = 2**31 - 1  # milliseconds, 24 days: the limit of PostgreSQL's timeouts


class Query:
    """Compose the statements of one report, and run them inside `transaction`."""

    def __init__(self, report: ReportDefinition, bound: BoundParameters, timeout: float | None = None) -> None:
        self.report = report
        # psycopg leaves each %% as it is when there are no values.
        self.values: Mapping[str, Any] = bound.values or {"": None}
        self.timeout = timeout or report.timeout
        self.started = time.monotonic()
        self.assertions = ", ".join(map(_expression, report.header.assertions))  # to be selected; may be empty

    @contextmanager
    def transaction(self, session_name: str = DEFAULT_SESSION_NAME) -> Iterator[None]:
        """Open a read-only transaction with one snapshot and the run's timeout. Raises ReportFailed.

        The SQL may lift the timeouts of PostgreSQL, so the client keeps the deadline too.
        """
        with (
            self.translated_errors(),
            client_deadline(DATABASE_ALIAS, self.timeout),
            transaction.atomic(using=DATABASE_ALIAS, durable=True),
        ):
            self._restrict_transaction(session_name)
            yield

    def select(self, selected: str = "*", tail: str = "", line: int = 1) -> str:
        """Select expressions from the report. Parameters are named, and percent signs are doubled, for psycopg.

        The report's SQL stays on its own lines of the file, so that PostgreSQL's messages name these lines. `selected`
        begins on `line`. A statement that is not one SELECT is a syntax error in the inner position.
        """
        above = "\n" * (line - 1)
        between = "\n" * (self.report.sql_line - line - selected.count("\n"))
        sql_types = {name: parameter.sql_type for name, parameter in self.report.parameters.items()}
        sql = self.report.statement.bind(sql_types)
        if MATERIALIZED.search(sql) and is_distributed(DATABASE_ALIAS):
            sql = MATERIALIZED.sub("AS", sql)
        return f"SELECT {above}{selected} FROM ({between}{sql}\n) AS report {tail}"  # noqa: S608  # values are bound

    def order_by(self, *first: str) -> str:
        """Return the clause that sorts the rows by these expressions first, and then in the order of the header.

        It is outside of the report's SQL, because a cluster drops the order of rows inside of it.
        """
        order = self.report.header.order
        items = [*first, *([order.replace("%", "%%")] if order else [])]
        return f"ORDER BY {', '.join(items)}\n" if items else ""

    def columns(self) -> list[ResultColumn]:
        """Return the columns. PostgreSQL plans the report for this, and finds most errors in its SQL."""
        columns = self._columns_of(self.select(tail=f"{self.order_by()} LIMIT 0"))
        file_name = self.report.path.name
        if not columns:
            raise ReportFailed(f"{file_name}: the SELECT has no columns.")
        names = [column.name for column in columns]
        if duplicates := sorted({name for name in names if names.count(name) > 1}):
            raise ReportFailed(f"{file_name}: more than one column has the name {', '.join(duplicates)}. Use AS.")
        return columns

    def failed_assertions(self) -> list[Assertion]:
        """Return the assertions of severity warn that are false. Raises AssertionFailed for the others."""
        assertions = self.report.header.assertions
        if not assertions:
            return []
        [results] = self.fetch(self.select(self.assertions))
        if len(results) != len(assertions):  # an assertion that closes its own bracket
            raise ReportFailed(f"{self.report.path.name}: an assertion is not one expression")
        failed = [assertion for assertion, result in zip(assertions, results, strict=True) if result is False]
        if errors := [assertion.failure_message for assertion in failed if assertion.severity == "error"]:
            raise AssertionFailed(f"{self.report.path.name}: the result failed an assertion. {' '.join(errors)}")
        return failed

    def plan_assertions(self) -> None:
        """Find errors in the assertions. Raises ReportFailed, also for one that is not boolean."""
        for assertion, line in zip(self.report.header.assertions, self.report.assertion_lines, strict=True):
            types = [column.type for column in self._columns_of(self.select(_expression(assertion), "LIMIT 0", line))]
            if types != ["bool"]:
                what = f"of type {types[0]}, not boolean" if len(types) == 1 else "not one expression"
                raise ReportFailed(f"{self.report.path.name}: LINE {line}: the assertion {assertion.sql} is {what}")

    def fetch(self, statement: str) -> list[Row]:
        """Run a statement with the report's parameters, and return all its rows."""
        with self.cursor() as cursor:
            cursor.execute(statement, self.values)
            return list(cursor.fetchall())

    def generic_plan(self, selected: str) -> Mapping[str, Any]:
        """Return PostgreSQL's plan to select expressions, for all values of the parameters."""
        numbers = {name: f"${number}" for number, name in enumerate(self.report.parameters, 1)}
        with self.cursor() as cursor:
            cursor.execute("EXPLAIN (GENERIC_PLAN, FORMAT JSON) " + self.select(selected) % numbers)
            [([explained],)] = cursor.fetchall()
            plan: Mapping[str, Any] = explained["Plan"]
            return plan

    def cursor(self) -> CursorWrapper:
        return connections[DATABASE_ALIAS].cursor()

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Raise ReportFailed in place of the database's errors."""
        try:
            yield
        except (Error, psycopg.Error) as error:
            raise translate_error(error, self.report.path.name, self.timeout, self.started) from error

    def _restrict_transaction(self, session_name: str) -> None:
        limit = min(self.timeout * 1000, MAX_TIMEOUT - 1000)
        with self.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            if lock_timeout := WritingConnection.session.get("lock_timeout"):  # not in commands
                cursor.execute(f"SET LOCAL lock_timeout = '{lock_timeout}'")  # a SELECT would take the snapshot
            cursor.execute(KEEP_MONTHS)
            cursor.execute(
                """
                SELECT set_config('application_name', %s, true), set_config('statement_timeout', %s, true),
                    -- statement_timeout starts again for each statement, and stops while the client reads no rows.
                    -- transaction_timeout does neither. It ends the connection, so it comes a second later.
                    set_config('transaction_timeout', %s, true),
                    -- psycopg reads only ISO dates.
                    set_config('datestyle', 'ISO', true),
                    -- ISO 8601, because Python's timedelta has no months and years.
                    set_config('intervalstyle', 'iso_8601', true)
                """,
                [session_name, f"{limit:.0f}", f"{limit + 1000:.0f}"],
            )
            # End the query of a client that is gone. Windows does not support this (PostgreSQL manual).
            cursor.execute(
                "SELECT set_config('client_connection_check_interval', '2s', true) WHERE version() !~* 'windows|visual'"
            )

    def _columns_of(self, statement: str) -> list[ResultColumn]:
        """Run a statement, and return its columns."""
        with self.cursor() as cursor:
            cursor.execute(statement, self.values)
            described = [(column.name, _type_name(column.type_code)) for column in cursor.description or ()]
        formats = self.report.header.columns
        return [
            ResultColumn(name, kind, formats[name].title or "", formats[name].format or "")
            if name in formats
            else ResultColumn(name, kind)
            for name, kind in described
        ]


def _expression(assertion: Assertion) -> str:
    """Return an assertion in brackets. The line break is for an assertion that ends in a comment."""
    return f"({assertion.sql.replace('%', '%%')}\n)"


def _type_name(oid: int) -> str:
    """Return PostgreSQL's name of a type. psycopg gives an array the name of its elements' type."""
    info = psycopg.adapters.types.get(oid)
    return "" if info is None else info.name if info.oid == oid else f"{info.name}[]"
