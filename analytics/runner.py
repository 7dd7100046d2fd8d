"""The one runner of reports, for every door."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from django.conf import settings
from django.db import Error, connections, transaction
from django.db.backends.utils import CursorWrapper

from analytics.reports import Report

ALIAS = "reports"
FETCH_ROWS = 2_000  # rows that are in memory at a time

NUMBER_TYPES = {psycopg.adapters.types[name].oid for name in ("int2", "int4", "int8", "float4", "float8", "numeric")}

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Column:
    """One column of a result."""

    name: str
    is_number: bool


@dataclass(frozen=True)
class Result:
    """What a running report gives: its columns, and its rows, once."""

    columns: list[Column]
    rows: Iterator[Row]


class ReportFailed(Exception):  # noqa: N818  # it says what happened
    """The database refused or ended a report; the message says why, and where in its file."""


@contextmanager
def run(report: Report) -> Iterator[Result]:
    """Run a report; its rows can be read inside the `with`, and are fetched from the server as they are.

    Values are what psycopg makes of PostgreSQL's types: Decimal, str, aware datetime and so on; null is None.

    Raises ReportFailed. The first rows are fetched before the body of the `with` begins, so most of what can go wrong
    goes wrong before it; but rows further down can fail too, and then ReportFailed leaves the body.
    """
    try:
        with transaction.atomic(using=ALIAS, durable=True):
            _restrict_transaction()
            with connections[ALIAS].chunked_cursor() as cursor:
                # On its own lines of the file, so that the database's messages name these.
                cursor.execute("\n" * (report.sql_line - 1) + report.sql)
                first_rows = cursor.fetchmany(FETCH_ROWS)
                yield Result(_columns(report, cursor), _rows(cursor, first_rows))
    except Error as error:
        raise ReportFailed(f"{report.path.name}: {_reason(error)}") from error


def _restrict_transaction() -> None:
    """Let the server refuse to write and end what takes too long, however the connection was set up."""
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{settings.REPORTS_TIMEOUT}s"])
        # The first counts anew for each fetch of rows; this one ends the connection, so the first may go first.
        cursor.execute("SELECT set_config('transaction_timeout', %s, true)", [f"{settings.REPORTS_TIMEOUT + 1}s"])
        # All rows are wanted; for a cursor the planner otherwise aims at the first tenth (cursor_tuple_fraction).
        cursor.execute("SET LOCAL cursor_tuple_fraction = 1")


def _columns(report: Report, cursor: CursorWrapper) -> list[Column]:
    columns = [Column(column.name, column.type_code in NUMBER_TYPES) for column in cursor.description or ()]
    if not columns:
        raise ReportFailed(f"{report.path.name}: gives no columns.")
    names = [column.name for column in columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ReportFailed(f"{report.path.name}: gives more than one column named {', '.join(twice)}; use AS.")
    return columns


def _rows(cursor: CursorWrapper, rows: list[Row]) -> Iterator[Row]:
    while rows:
        yield from rows
        rows = cursor.fetchmany(FETCH_ROWS)


def _reason(error: Error) -> str:
    """The database's words, with what they mean here where that is not plain."""
    words = str(error).strip()
    if isinstance(error.__cause__, psycopg.errors.QueryCanceled | psycopg.errors.TransactionTimeout):
        return f"{words}. A report may take {settings.REPORTS_TIMEOUT} seconds (REPORTS_TIMEOUT)."
    if isinstance(error.__cause__, psycopg.errors.SyntaxError | psycopg.errors.FeatureNotSupported):
        return f"{words}\nA report is one SELECT; nothing else is run."
    return words
