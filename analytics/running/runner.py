"""The one runner of reports, for all channels."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from analytics.definitions.headers import Assertion
from analytics.definitions.parameters import BoundParameters
from analytics.definitions.reports import ReportDefinition
from analytics.running.data_versions import data_version, get_relations
from analytics.running.query import DATABASE_ALIAS, SESSION_NAME, Query
from analytics.running.rows import ALL_ROWS, ResultColumn, Row, RowRange
from sales.totals import feedback


@dataclass(frozen=True)
class Result:
    """The result of a running report.

    `rows` can be read once, and reading raises ReportFailed. Values are what psycopg makes of PostgreSQL's: Decimal,
    str, aware datetime and so on; null is None. `watermark` says which sales are in it. `failed_assertions` are the
    assertions of severity warn that are false.
    """

    columns: list[ResultColumn]
    rows: Iterator[Row]
    watermark: feedback.Watermark
    failed_assertions: list[Assertion]
    _query: Query = field(repr=False)

    def copy_csv(self) -> Iterator[bytes] | None:
        """Stream lines of CSV from PostgreSQL in place of `rows`, many times as fast.

        Return None if PostgreSQL writes some type in another way than we do.
        """
        return self._query.copy_csv(self.columns)

    @property
    def row_count(self) -> int:
        """The number of rows read until now."""
        return self._query.row_count

    @property
    def is_truncated(self) -> bool:
        """Whether there are more rows than the limit. Known after the last row."""
        return self._query.is_truncated

    def data_version(self) -> str | None:
        """Return the version of the data that the rows are of, as get_data_version does. Call it before reading."""
        return data_version(self._query.report, self._query.bound, self.watermark, DATABASE_ALIAS)


@contextmanager
def run(
    report: ReportDefinition,
    bound: BoundParameters,
    *,
    row_range: RowRange = ALL_ROWS,
    timeout: float | None = None,
    session_name: str = SESSION_NAME,
) -> Iterator[Result]:
    """Run a report. Its rows are streamed from the server inside the `with`, all from one snapshot.

    `timeout` (seconds) replaces the report's own. It includes the time that the reader of the rows needs.
    `session_name` is for PostgreSQL's list of sessions.

    Raises ReportFailed, mostly before the body of the `with` begins, but also while rows are read. Raises
    AssertionFailed before the body begins.
    """
    query = Query(report, bound, row_range, timeout)
    with query.transaction(session_name):
        watermark = feedback.watermark(using=DATABASE_ALIAS)
        columns = query.columns()
        failed = query.failed_assertions()
        yield Result(columns, query.rows(), watermark, failed, query)


def explain(report: ReportDefinition, bound: BoundParameters) -> str:
    """Return PostgreSQL's plan for the report as text, without running it. Raises ReportFailed."""
    query = Query(report, bound)
    with query.transaction():
        return "\n".join(line for (line,) in query.fetch(f"EXPLAIN (VERBOSE, SETTINGS) {query.sql.select()}"))


def describe(report: ReportDefinition, bound: BoundParameters) -> list[ResultColumn]:
    """Return the report's columns. Plan it and its assertions, without running them. Raises ReportFailed."""
    query = Query(report, bound)
    with query.transaction():
        query.plan_assertions()
        return query.columns()


def get_data_version(report: ReportDefinition, bound: BoundParameters) -> str | None:
    """Return a text that changes when the report's result may change. Plan the report, without running it.

    Return None if the report does not declare `depends_on`, or if its result also depends on the time or on chance.
    Raises ReportFailed.
    """
    query = Query(report, bound)
    with query.transaction():
        query.plan_assertions()
        query.columns()
        return data_version(report, bound, feedback.watermark(using=DATABASE_ALIAS), DATABASE_ALIAS)


def read_relations(report: ReportDefinition) -> set[str]:
    """Return the tables that the report and its assertions read, whatever its parameters. Raises ReportFailed."""
    query = Query(report, BoundParameters({}))
    statements = filter(None, (query.sql.select(), query.sql.assertions()))
    with query.transaction():
        return set().union(*(get_relations(query.generic_plan(statement)) for statement in statements))
