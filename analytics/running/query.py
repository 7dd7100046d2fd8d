"""One report on its way through the database."""

import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import islice
from typing import Any

import psycopg
from django.db import Error, connections, transaction
from django.db.backends.utils import CursorWrapper
from psycopg.types.datetime import TimestamptzLoader
from psycopg.types.string import TextLoader

from analytics.definitions.headers import Assertion
from analytics.definitions.parameters import BoundParameters
from analytics.definitions.reports import ReportDefinition
from analytics.running.errors import AssertionFailed, ReportFailed, translate_error
from analytics.running.report_sql import COPY_TYPES, ReportSQL
from analytics.running.rows import ALL_ROWS, ResultColumn, Row, RowRange

DATABASE_ALIAS = "reports"
SESSION_NAME = "salesengine reports"  # in PostgreSQL's list of sessions
FETCH_ROWS = 1_000
# Lines of COPY that are joined at a time. Each line holds a buffer: 1,000 lines at a time take twice as long.
COPY_LINES = 50
MAX_TIMEOUT = 2**31 - 1  # milliseconds, 24 days: the limit of PostgreSQL's timeouts


class Query:
    """Run the statements of one report, inside `transaction`."""

    def __init__(
        self,
        report: ReportDefinition,
        bound: BoundParameters,
        row_range: RowRange = ALL_ROWS,
        timeout: float | None = None,
    ) -> None:
        self.report = report
        self.bound = bound
        self.sql = ReportSQL(report, row_range)
        self.limit = row_range.limit
        self.timeout = timeout or report.timeout
        self.started = time.monotonic()
        # psycopg leaves each %% as it is when there are no values.
        self.values: Mapping[str, Any] = bound.values or {"": None}
        self.row_count = 0
        self.is_truncated = False
        self._reading: Generator[Any] | None = None

    @contextmanager
    def transaction(self, session_name: str = SESSION_NAME) -> Iterator[None]:
        """Open a read-only transaction with one snapshot and the run's timeout. Raises ReportFailed."""
        with self._translated_errors(), transaction.atomic(using=DATABASE_ALIAS, durable=True):
            self._restrict_transaction(session_name)
            with closing(self):
                yield

    def columns(self) -> list[ResultColumn]:
        """Return the columns. PostgreSQL plans the report for this, and finds most errors in its SQL."""
        columns = [ResultColumn(name, type_name) for name, type_name in self._describe(self.sql.columns())]
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
        [results] = self.fetch(self.sql.assertions())
        if len(results) != len(assertions):  # an assertion that closes its own bracket
            raise ReportFailed(f"{self.report.path.name}: an assertion is not one expression")
        failed = [assertion for assertion, result in zip(assertions, results, strict=True) if result is False]
        if errors := [assertion.failure_message for assertion in failed if assertion.severity == "error"]:
            raise AssertionFailed(f"{self.report.path.name}: the result failed a check. {' '.join(errors)}")
        return failed

    def plan_assertions(self) -> None:
        """Find errors in the assertions. Raises ReportFailed, also for one that is not boolean."""
        for assertion, line in zip(self.report.header.assertions, self.report.assertion_lines, strict=True):
            types = [type_name for _, type_name in self._describe(self.sql.assertion_columns(assertion, line))]
            if types != ["bool"]:
                what = f"of type {types[0]}, not boolean" if len(types) == 1 else "not one expression"
                raise ReportFailed(f"{self.report.path.name}: LINE {line}: the assertion {assertion.sql} is {what}")

    def rows(self) -> Iterator[Row]:
        """Stream the rows, once. Raises ReportFailed."""
        self._reading = self._rows()
        return self._reading

    def copy_csv(self, columns: list[ResultColumn]) -> Iterator[bytes] | None:
        """Stream the rows as lines of CSV, once. Return None if PostgreSQL's text differs from ours for some type."""
        if not all(column.type in COPY_TYPES for column in columns):
            return None
        self._reading = self._copy_csv(columns)
        return self._reading

    def close(self) -> None:
        """End a query on the server whose rows were not all read."""
        if self._reading is not None:
            self._reading.close()

    def fetch(self, statement: str) -> list[Row]:
        """Run a statement with the report's parameters, and return all its rows."""
        with self._cursor() as cursor:
            cursor.execute(statement, self.values)
            return list(cursor.fetchall())

    def generic_plan(self, statement: str) -> Mapping[str, Any]:
        """Return PostgreSQL's plan for all values of the parameters."""
        with self._cursor() as cursor:
            cursor.execute("EXPLAIN (GENERIC_PLAN, FORMAT JSON) " + self.sql.generic(statement))
            [([explained],)] = cursor.fetchall()
            plan: Mapping[str, Any] = explained["Plan"]
            return plan

    def _restrict_transaction(self, session_name: str) -> None:
        limit = min(self.timeout * 1000, MAX_TIMEOUT - 1000)
        with self._cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute(
                """
                SELECT set_config('application_name', %s, true), set_config('statement_timeout', %s, true),
                    -- statement_timeout starts again for each statement, and stops while the client reads no rows.
                    -- transaction_timeout does neither. It ends the connection, so it comes a second later.
                    set_config('transaction_timeout', %s, true),
                    -- ISO 8601, because Python's timedelta has no months and years.
                    set_config('intervalstyle', 'iso_8601', true)
                """,
                [session_name, f"{limit:.0f}", f"{limit + 1000:.0f}"],
            )
            # End the query of a client that is gone. Windows does not support this (PostgreSQL manual).
            cursor.execute(
                "SELECT set_config('client_connection_check_interval', '2s', true) WHERE version() !~* 'windows|visual'"
            )

    def _rows(self) -> Generator[Row]:
        with self._translated_errors(), self._cursor() as cursor:
            cursor.adapters.register_loader("timestamptz", TimestamptzLoader)  # in C, unlike Django's
            # JSON stays text, as in Django's jsonb: Python cannot hold every number, depth and character of JSON.
            cursor.adapters.register_loader("json", TextLoader)
            cursor.adapters.register_loader("interval", TextLoader)
            with closing(cursor.stream(self.sql.rows(), self.values, size=FETCH_ROWS)) as rows:
                for batch in self._batches(rows, FETCH_ROWS):
                    yield from batch

    def _copy_csv(self, columns: list[ResultColumn]) -> Generator[bytes]:
        statement = self.sql.copy_csv(columns)
        with self._translated_errors(), self._cursor() as cursor, cursor.copy(statement, self.values) as lines:
            # "Messages sent from the backend will always correspond to single data rows" (manual, CopyData).
            yield from map(b"".join, self._batches(iter(lines), COPY_LINES))

    def _batches(self, rows: Iterator[Any], size: int) -> Iterator[list[Any]]:
        """Return rows up to the limit, in batches. Then look for one more row."""
        while batch := list(islice(rows, size if self.limit is None else min(size, self.limit - self.row_count))):
            self.row_count += len(batch)
            yield batch
        self.is_truncated = len(list(rows)) > 0  # at most one row is left

    def _describe(self, statement: str) -> list[tuple[str, str]]:
        """Run a statement, and return the name and the type of each column."""
        with self._cursor() as cursor:
            cursor.execute(statement, self.values)
            return [(column.name, _type_name(column.type_code)) for column in cursor.description or ()]

    def _cursor(self) -> CursorWrapper:
        return connections[DATABASE_ALIAS].cursor()

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Raise ReportFailed in place of the database's errors."""
        try:
            yield
        except (Error, psycopg.Error) as error:
            raise translate_error(error, self.report.path.name, self.timeout, self.started) from error


def _type_name(oid: int) -> str:
    """PostgreSQL's name of a type. psycopg gives an array the name of its elements' type."""
    info = psycopg.adapters.types.get(oid)
    return "" if info is None else info.name if info.oid == oid else f"{info.name}[]"
