"""The one runner of reports, for every door."""

import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
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
from analytics.running.data_versions import data_version, depends_on_data_only, may_move
from sales.totals import feedback

ALIAS = "reports"
CHUNK = 1_000  # rows that come from the server at a time
LINES = 50  # of COPY, put together at a time: each holds a buffer, and with 1,000 of them all takes twice as long
LONGEST = 2**31 - 1  # milliseconds that PostgreSQL's timeouts can hold, 24 days

NUMBER_TYPES = {"int2", "int4", "int8", "float4", "float8", "numeric"}
# PostgreSQL writes these in its CSV as we do, timestamps in UTC once they are asked for so.
COPY_TYPES = {"int2", "int4", "int8", "numeric", "text", "varchar", "date", "uuid", "timestamptz"}
# What has no four digits for its year is an error here, as it is for Python, where it makes the other formats.
COPY_MOMENT = """
    CASE WHEN {0} >= '0001-01-01' AND {0} < '10000-01-01' THEN {1}
    WHEN {0} IS NOT NULL THEN ('not in the years 1 to 9999: ' || {0})::int::text END"""
COPY_TEXTS = {"date": "{0}::text", "timestamptz": "replace(({0} AT TIME ZONE 'UTC')::text, ' ', 'T') || 'Z'"}
# The classes of SQLSTATE of a database that is away, busy, or a replica that had to go on; "" without an answer.
AWAY = {"", "08", "40", "53", "57"}

Row = tuple[Any, ...]


@dataclass(frozen=True)
class ResultColumn:
    """One column of a result; `type` is PostgreSQL's name for its type, such as numeric or timestamptz."""

    name: str
    type: str

    @property
    def is_number(self) -> bool:
        return self.type in NUMBER_TYPES


@dataclass(frozen=True)
class RowRange:
    """Which rows of a result are wanted: at most `limit`, if that is set, after the first `offset`.

    They are in the report's own order, unless `sort` names a column.
    """

    sort: str | None = None
    descending: bool = False
    limit: int | None = None
    offset: int = 0


ALL_ROWS = RowRange()


class ReportFailed(Exception):  # noqa: N818  # it says what happened
    """The database refused or ended a report; the message says why, and where in its file."""


class TimedOut(ReportFailed):
    """The report took longer than it may."""


class Cancelled(ReportFailed):
    """Somebody ended the report while it ran."""


class ReportDatabaseUnavailable(ReportFailed):
    """The database could not answer; it may soon."""


class AssertionFailed(ReportFailed):
    """The result is not what its file says that it must be; nothing of it was given out."""


@dataclass(frozen=True)
class Result:
    """What a running report gives: its columns, its rows, once, and of which data they are.

    Values are what psycopg makes of PostgreSQL's: Decimal, str, aware datetime and so on; null is None. Reading them
    raises ReportFailed. `failed` are the assertions of severity warn that are not true.
    """

    columns: list[ResultColumn]
    rows: Iterator[Row]
    watermark: feedback.Watermark
    failed: list[Assertion]
    _query: "_Query" = field(repr=False)

    def copy_csv(self) -> Iterator[bytes] | None:
        """In place of `rows`, lines of CSV from PostgreSQL itself, many times as fast; None where it writes values in
        another way than we do."""
        return self._query.copy_csv(self.columns) if self._query.can_copy(self.columns) else None

    @property
    def row_count(self) -> int:
        """How many rows were read so far."""
        return self._query.row_count

    @property
    def is_truncated(self) -> bool:
        """Whether there are more rows than the limit; known when all up to it were read."""
        return self._query.is_truncated

    def data_version(self) -> str | None:
        """The version of the data that the rows are of, as `find_data_version` has it; before the rows are read."""
        return self._query.data_version(self.watermark)


@contextmanager
def run(
    report: ReportDefinition,
    given: BoundParameters,
    *,
    part: RowRange = ALL_ROWS,
    timeout: float | None = None,
    name: str = "salesengine reports",
) -> Iterator[Result]:
    """Run a report; its rows can be read inside the `with`, and come from the server as they are read.

    All that is read is of one moment. `timeout` (seconds) is instead of the report's own; it includes the time that the
    rows are waited for by whoever reads them. `name` is what the database's list of sessions calls the run.

    Raises ReportFailed: for most of what can go wrong before the body of the `with` begins, as also AssertionFailed;
    but rows can fail too, and then ReportFailed comes from them.
    """
    query = _Query(report, given, part, timeout or report.timeout)
    with query.translated_errors(), transaction.atomic(using=ALIAS, durable=True):
        query.restrict_transaction(name)
        watermark = feedback.watermark(using=ALIAS)
        columns = query.columns()
        failed = query.failed_assertions()
        with closing(query):
            yield Result(columns, query.rows(), watermark, failed, query)


def explain(report: ReportDefinition, given: BoundParameters) -> str:
    """PostgreSQL's plan for the report, as text; nothing is run. Raises ReportFailed."""
    query = _Query(report, given, ALL_ROWS, report.timeout)
    with query.translated_errors(), transaction.atomic(using=ALIAS, durable=True):
        query.restrict_transaction("salesengine reports")
        return "\n".join(line for (line,) in query.fetch("EXPLAIN (VERBOSE, SETTINGS) "))


def describe(report: ReportDefinition, given: BoundParameters) -> list[ResultColumn]:
    """The columns that the report gives; it and its assertions are planned and not run. Raises ReportFailed."""
    query = _Query(report, given, ALL_ROWS, report.timeout)
    with query.translated_errors(), transaction.atomic(using=ALIAS, durable=True):
        query.restrict_transaction("salesengine reports")
        query.plan_assertions()
        return query.columns()


def find_data_version(report: ReportDefinition, given: BoundParameters) -> str | None:
    """What changes when the data that the report reads do; nothing is run.

    None if more than those decides on the result: the time, chance, other tables. Raises ReportFailed.
    """
    query = _Query(report, given, ALL_ROWS, report.timeout)
    with query.translated_errors(), transaction.atomic(using=ALIAS, durable=True):
        query.restrict_transaction("salesengine reports")
        return query.data_version(feedback.watermark(using=ALIAS))


@dataclass
class _Query:
    """A report on its way through the database, inside of a transaction."""

    report: ReportDefinition
    given: BoundParameters
    part: RowRange
    timeout: float
    started: float = field(default_factory=time.monotonic)
    row_count: int = 0
    is_truncated: bool = False
    _reading: Generator[Any] | None = None

    def restrict_transaction(self, name: str) -> None:
        """Let the server refuse to write, end what takes too long or nobody waits for, and show one snapshot."""
        limit = min(self.timeout * 1000, LONGEST - 1000)
        with self._cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute(
                """
                SELECT set_config('application_name', %s, true), set_config('statement_timeout', %s, true),
                    -- The first counts anew for each statement, and not while rows wait for a client that does not
                    -- read them. This one ends the connection, so the first may go first.
                    set_config('transaction_timeout', %s, true),
                    -- Python has no months and years; what PostgreSQL writes is ISO 8601.
                    set_config('intervalstyle', 'iso_8601', true)
                """,
                [name, f"{limit:.0f}", f"{limit + 1000:.0f}"],
            )
            # Where the server's system can tell (PostgreSQL manual): what nobody is there for any more ends.
            cursor.execute(
                "SELECT set_config('client_connection_check_interval', '2s', true) WHERE version() !~* 'windows|visual'"
            )

    def columns(self) -> list[ResultColumn]:
        """The columns of the result. Planning finds most of what can be wrong with the SQL."""
        with self._cursor() as cursor:
            cursor.execute(self._select("*", "LIMIT 0"), self._values)
            columns = [ResultColumn(column.name, _type_name(column.type_code)) for column in cursor.description or ()]
        file = self.report.path.name
        if not columns:
            raise ReportFailed(f"{file}: gives no columns.")
        names = [column.name for column in columns]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ReportFailed(f"{file}: gives more than one column named {', '.join(twice)}; use AS.")
        return columns

    def failed_assertions(self) -> list[Assertion]:
        """The assertions of severity warn that are not true. Raises AssertionFailed for the others."""
        assertions = self.report.header.assertions
        if not assertions:
            return []
        with self._cursor() as cursor:
            cursor.execute(self._select(self._checks), self._values)
            answers = cursor.fetchone()
        if len(answers) != len(assertions):  # one of them ends its own brackets
            raise ReportFailed(f"{self.report.path.name}: an assertion is not one expression")
        failed = [assertion for assertion, answer in zip(assertions, answers, strict=True) if answer is False]
        if errors := [assertion.text for assertion in failed if assertion.severity == "error"]:
            raise AssertionFailed(f"{self.report.path.name}: the result is not as it must be. {' '.join(errors)}")
        return failed

    def plan_assertions(self) -> None:
        """Find what is wrong with the assertions. Raises ReportFailed, too, for one that is not true or false."""
        with self._cursor() as cursor:
            for assertion, line in zip(self.report.header.assertions, self.report.assertion_lines, strict=True):
                cursor.execute(self._select(_column_of(assertion), "LIMIT 0", line), self._values)
                kinds = [_type_name(column.type_code) for column in cursor.description or ()]
                if kinds != ["bool"]:
                    what = f"of the type {kinds[0]}, not true or false" if len(kinds) == 1 else "not one expression"
                    raise ReportFailed(f"{self.report.path.name}: LINE {line}: the assertion {assertion.sql} is {what}")

    def rows(self) -> Iterator[Row]:
        self._reading = self._rows()
        return self._reading

    def copy_csv(self, columns: list[ResultColumn]) -> Iterator[bytes]:
        self._reading = self._copy_csv(columns)
        return self._reading

    def can_copy(self, columns: list[ResultColumn]) -> bool:
        """Whether PostgreSQL writes these columns in its CSV as we do."""
        return all(column.type in COPY_TYPES for column in columns)

    def close(self) -> None:
        """End the query on the server if its rows were not all read."""
        if self._reading is not None:
            self._reading.close()

    def _rows(self) -> Generator[Row]:
        with self.translated_errors(), self._cursor() as cursor:
            cursor.adapters.register_loader("timestamptz", TimestamptzLoader)  # in C, unlike Django's
            # As it stands, as Django has jsonb: Python cannot hold each number, depth and character of JSON.
            cursor.adapters.register_loader("json", TextLoader)
            cursor.adapters.register_loader("interval", TextLoader)
            with closing(cursor.stream(self._select("*", self._tail), self._values, size=CHUNK)) as rows:
                for batch in self._batches(rows, CHUNK):
                    yield from batch

    def _copy_csv(self, columns: list[ResultColumn]) -> Generator[bytes]:
        names = [_quote(column.name) for column in columns]
        selected = ", ".join(
            COPY_MOMENT.format(name, COPY_TEXTS[column.type].format(name)) if column.type in COPY_TEXTS else name
            for name, column in zip(names, columns, strict=True)
        )
        statement = f"COPY ({self._select(selected, self._tail)}) TO STDOUT (FORMAT csv)"
        with self.translated_errors(), self._cursor() as cursor, cursor.copy(statement, self._values) as lines:
            # "Messages sent from the backend will always correspond to single data rows" (manual, CopyData).
            yield from map(b"".join, self._batches(iter(lines), LINES))

    def _batches(self, rows: Iterator[Any], most: int) -> Iterator[list[Any]]:
        """The rows, at most so many at a time, up to the limit; then one more is looked for."""
        limit = self.part.limit
        while batch := list(islice(rows, most if limit is None else min(most, limit - self.row_count))):
            self.row_count += len(batch)
            yield batch
        self.is_truncated = len(list(rows)) > 0  # at most one

    def fetch(self, command: str, selected: str = "*") -> list[Row]:
        """What a command such as EXPLAIN says of the report."""
        with self._cursor() as cursor:
            cursor.execute(command + self._select(selected), self._values)
            return list(cursor.fetchall())

    def data_version(self, watermark: feedback.Watermark) -> str | None:
        if self.report.is_volatile or may_move(self.given.values.values()):
            return None
        for selected in filter(None, ("*", self._checks)):
            [([explained],)] = self.fetch("EXPLAIN (VERBOSE, FORMAT JSON) ", selected)
            if not depends_on_data_only(explained["Plan"], ALIAS):
                return None
        return data_version(watermark, ALIAS)

    def _select(self, selected: str, tail: str = "", line: int = 1) -> str:
        """The report as psycopg takes it, on its own lines of the file, so that messages of the database name these.

        So is `selected`, if its `line` is given. Inside of another SELECT nothing else than one SELECT is possible.
        """
        above = "\n" * (line - 1)
        between = "\n" * (self.report.sql_line - line - selected.count("\n"))
        sql = self.report.statement.bind({name: each.sql_type for name, each in self.report.parameters.items()})
        return f"SELECT {above}{selected} FROM ({between}{sql}\n) AS report {tail}"  # noqa: S608  # values are bound

    @property
    def _tail(self) -> str:
        """Sorts the rows, and cuts them one below the limit, which tells whether there are more."""
        sort, limit = self.part.sort, self.part.limit
        order = f"ORDER BY {_quote(sort)} {'DESC' if self.part.descending else 'ASC'} NULLS LAST" if sort else ""
        return f"{order} {'' if limit is None else f'LIMIT {limit + 1:d}'} OFFSET {self.part.offset:d}"

    @property
    def _checks(self) -> str:
        """The assertions as columns of one row."""
        return ", ".join(_column_of(assertion) for assertion in self.report.header.assertions)

    @property
    def _values(self) -> Mapping[str, Any]:
        return self.given.values or {"": None}  # without any, psycopg would leave each %% in the text as it is

    def _cursor(self) -> CursorWrapper:
        return connections[ALIAS].cursor()

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Raise ReportFailed in place of the database's errors."""
        try:
            yield
        except (Error, psycopg.Error) as error:
            raise self._failure(error if isinstance(error, psycopg.Error) else error.__cause__, error) from error

    def _failure(self, cause: BaseException | None, error: Exception) -> ReportFailed:
        """The database's words, with what they mean here where that is not plain."""
        words = f"{self.report.path.name}: {str(error).strip()}"
        is_late = time.monotonic() - self.started >= self.timeout
        # Ended between two statements, or while it sent rows, all that is seen may be a connection that broke off.
        if is_late and isinstance(cause, psycopg.OperationalError | psycopg.errors.TransactionTimeout):
            limit = f"This run may take {self.timeout:g} seconds (its timeout, or else REPORTS_TIMEOUT)."
            return TimedOut(f"{words}. {limit}")
        if isinstance(cause, psycopg.errors.QueryCanceled):
            return Cancelled(f"{self.report.path.name}: the run was cancelled.")
        if _is_away(cause):
            return ReportDatabaseUnavailable(words)
        if isinstance(cause, psycopg.errors.SyntaxError | psycopg.errors.FeatureNotSupported):
            return ReportFailed(f"{words}\nA report is one SELECT; nothing else is run.")
        return ReportFailed(words)


def _column_of(assertion: Assertion) -> str:
    """An assertion for SQL that psycopg takes; it may end in a comment."""
    return f"({assertion.sql.replace('%', '%%')}\n)"


def _is_away(cause: BaseException | None) -> bool:
    """Whether the database is at fault, and not the report, as it is when it meets the database's temp_file_limit."""
    if isinstance(cause, psycopg.errors.ConfigurationLimitExceeded):
        return False
    return isinstance(cause, psycopg.OperationalError) and (cause.sqlstate or "")[:2] in AWAY


def _type_name(oid: int) -> str:
    info = psycopg.adapters.types.get(oid)
    # An array has the oid of its own and the name of its elements' type.
    return "" if info is None else info.name if info.oid == oid else f"{info.name}[]"


def _quote(name: str) -> str:
    """A column's name for SQL that psycopg takes."""
    return '"{}"'.format(name.replace('"', '""').replace("%", "%%"))
