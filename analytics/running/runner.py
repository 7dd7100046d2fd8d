"""The one runner of reports, for all channels."""

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from psycopg.types.datetime import TimestamptzLoader
from psycopg.types.string import TextLoader

from analytics.definitions.headers import Assertion
from analytics.definitions.parameters import BoundParameters
from analytics.definitions.reports import ReportDefinition
from analytics.running.archives import archive_warning
from analytics.running.data_versions import data_version
from analytics.running.errors import UnknownSortColumn
from analytics.running.query import DATABASE_ALIAS, DEFAULT_SESSION_NAME, Query
from analytics.running.rows import ALL_ROWS, ResultColumn, Row, RowRange
from sales.totals.feedback import Watermark, watermark

FETCH_ROWS = 1_000
# Lines of COPY that are joined at a time. Each line holds a buffer: 1,000 lines at a time take twice as long.
COPY_LINES = 50
# PostgreSQL's CSV has the same text as ours for these types, if timestamps are converted to UTC.
COPY_TYPES = {"int2", "int4", "int8", "numeric", "text", "varchar", "date", "uuid", "timestamptz"}
COPY_TEXTS = {"date": "{0}::text", "timestamptz": "replace(({0} AT TIME ZONE 'UTC')::text, ' ', 'T') || 'Z'"}
# Refuse years outside 1 to 9999, because Python, which encodes the other formats, cannot represent them.
COPY_CHECKED = """
    CASE WHEN {0} >= '0001-01-01' AND {0} < '10000-01-01' THEN {1}
    WHEN {0} IS NOT NULL THEN ('not in the years 1 to 9999: ' || {0})::int::text END"""


@dataclass
class Result:
    """The result of a running report. Read it once, from `rows` or from `copy_csv`. Reading raises ReportFailed.

    `archive_warning` says which sales are archived and not counted, if there are any.

    Values are what psycopg makes of PostgreSQL's: Decimal, str, aware datetime and so on; null is None. `watermark`
    says which sales are in the result. `failed_assertions` are the assertions of severity warn that are false.
    """

    columns: list[ResultColumn]
    watermark: Watermark
    failed_assertions: list[Assertion]
    _query: Query
    _row_range: RowRange
    row_count: int = 0  # the number of rows read until now
    is_truncated: bool = False  # whether there are more rows than the limit; known after the last row
    archive_warning: str = ""

    def __post_init__(self) -> None:
        self.rows = self._read_rows()
        self._reading: Generator[Any] = self.rows

    @property
    def warnings(self) -> list[str]:
        """Return what readers of the result must know."""
        messages = [assertion.failure_message for assertion in self.failed_assertions]
        return [*messages, *filter(None, [self.archive_warning])]

    def copy_csv(self) -> Iterator[bytes] | None:
        """Stream lines of CSV from PostgreSQL in place of `rows`, many times as fast.

        Return None if PostgreSQL writes values of some column differently.
        """
        if not all(column.type in COPY_TYPES for column in self.columns):
            return None
        self._reading = reading = self._copy_csv()
        return reading

    def close(self) -> None:
        """End the query on the server if its rows were not all read."""
        self._reading.close()

    def _read_rows(self) -> Generator[Row]:
        query = self._query
        with query.translated_errors(), query.cursor() as cursor:
            cursor.adapters.register_loader("timestamptz", TimestamptzLoader)  # in C, unlike Django's
            # JSON stays text, as in Django's jsonb: Python cannot hold every number, depth and character of JSON.
            cursor.adapters.register_loader("json", TextLoader)
            cursor.adapters.register_loader("interval", TextLoader)
            statement = query.select(tail=_tail(query, self._row_range))
            with closing(cursor.stream(statement, query.values, size=FETCH_ROWS)) as rows:
                for batch in self._batches(rows, FETCH_ROWS):
                    yield from batch

    def _copy_csv(self) -> Generator[bytes]:
        query = self._query
        select = query.select(", ".join(map(_copied, self.columns)), _tail(query, self._row_range))
        statement = f"COPY ({select}) TO STDOUT (FORMAT csv)"
        with query.translated_errors(), query.cursor() as cursor, cursor.copy(statement, query.values) as lines:
            # "Messages sent from the backend will always correspond to single data rows" (manual, CopyData).
            yield from map(b"".join, self._batches(iter(lines), COPY_LINES))

    def _batches(self, rows: Iterator[Any], size: int) -> Iterator[list[Any]]:
        """Return rows up to the limit, in batches. Then look for one more row."""
        limit = self._row_range.limit
        while batch := list(islice(rows, size if limit is None else min(size, limit - self.row_count))):
            self.row_count += len(batch)
            yield batch
        self.is_truncated = len(list(rows)) > 0  # at most one row is left


def _tail(query: Query, row_range: RowRange) -> str:
    """Sort, and select one row more than the limit, which tells whether the result is truncated."""
    sort, limit = row_range.sort, row_range.limit
    first = [f"{_quote(sort)} {'DESC' if row_range.descending else 'ASC'} NULLS LAST"] if sort else []
    return f"{query.order_by(*first)} {'' if limit is None else f'LIMIT {limit + 1:d}'} OFFSET {row_range.offset:d}"


def _copied(column: ResultColumn) -> str:
    """Return the SQL of a column for COPY."""
    name = _quote(column.name)
    return COPY_CHECKED.format(name, COPY_TEXTS[column.type].format(name)) if column.type in COPY_TEXTS else name


def _quote(name: str) -> str:
    """Return the name of a column in quotes."""
    return '"{}"'.format(name.replace('"', '""').replace("%", "%%"))


@contextmanager
def run(
    report: ReportDefinition,
    bound: BoundParameters,
    *,
    row_range: RowRange = ALL_ROWS,
    timeout: float | None = None,
    session_name: str = DEFAULT_SESSION_NAME,
) -> Iterator[Result]:
    """Run a report. Its rows are streamed from the server inside the `with`, all from one snapshot.

    `timeout` (seconds) replaces the report's own. It includes the time that the reader of the rows needs.
    `session_name` is for PostgreSQL's list of sessions.

    Raises ReportFailed, mostly before the body of the `with` begins, but also while rows are read. Raises
    AssertionFailed before the body begins.
    """
    query = Query(report, bound, timeout)
    with query.transaction(session_name):
        snapshot = watermark(using=DATABASE_ALIAS)
        columns = query.columns()
        if row_range.sort and row_range.sort not in (names := [column.name for column in columns]):
            raise UnknownSortColumn(f"There is no column {row_range.sort}; the columns are {', '.join(names)}.")
        failed, archived = query.failed_assertions(), archive_warning(query)
        with closing(Result(columns, snapshot, failed, query, row_range, archive_warning=archived)) as result:
            yield result


def explain(report: ReportDefinition, bound: BoundParameters) -> str:
    """Return PostgreSQL's plan for the report as text, without running it. Raises ReportFailed."""
    query = Query(report, bound)
    with query.transaction():
        statement = f"EXPLAIN (VERBOSE, SETTINGS) {query.select(tail=query.order_by())}"
        return "\n".join(line for (line,) in query.fetch(statement))


def result_columns(report: ReportDefinition, bound: BoundParameters) -> list[ResultColumn]:
    """Return the report's columns. Plan it and its assertions, without running them. Raises ReportFailed."""
    query = Query(report, bound)
    with query.transaction():
        query.plan_assertions()
        return query.columns()


def current_data_version(report: ReportDefinition, bound: BoundParameters) -> str | None:
    """Return a text that changes when the report's result may change. Plan the report, without running it.

    Return None if the report does not declare `depends_on`, or if its result also depends on the time or on chance.
    Raises ReportFailed.
    """
    query = Query(report, bound)
    with query.transaction():
        query.plan_assertions()
        query.columns()
        return data_version(report, bound, watermark(using=DATABASE_ALIAS))
