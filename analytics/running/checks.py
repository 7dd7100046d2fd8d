"""`manage.py check` reports invalid report files, and plans the SQL of the valid ones on the database."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Warning  # noqa: A004

from analytics.definitions.headers import Header
from analytics.definitions.parameters import BoundParameters
from analytics.definitions.reports import ReportDefinition, folder_error, invalid_reports, load_reports
from analytics.definitions.statements import is_ordered
from analytics.running.data_versions import undeclared_relations
from analytics.running.errors import ReportDatabaseUnavailable, ReportFailed, TimedOut
from analytics.running.runner import result_columns
from salesengine.operations.database_checks import pending_migrations

CANNOT_CHECK = (ReportDatabaseUnavailable, TimedOut)  # for example, a table is locked
POSITION = re.compile(r"\bLINE (?P<line>\d+): ")  # in PostgreSQL's messages; it is the line of the file


def check_report_files(**_: Any) -> list[CheckMessage]:
    """Return the errors that the files show without the database.

    analytics.E001: the file is invalid. E004: the report is volatile and declares depends_on. E005: only the SQL sorts
    the rows, although the runner selects from it, and PostgreSQL does not promise to keep the order of a subquery.
    E006: the folder of the files cannot be read.
    """
    if message := folder_error():
        return [Error(message, id="analytics.E006")]
    errors: list[CheckMessage] = [
        Error(error.reason, obj=f"{error.path}:{error.line}", id="analytics.E001") for error in invalid_reports()
    ]
    message = "depends_on is declared, but the SQL depends on the time or on chance; remove depends_on"
    errors += [
        _error(report, "depends_on", message, "analytics.E004")
        for report in load_reports()
        if report.header.depends_on and report.is_volatile
    ]
    message = "the order of the rows can get lost; declare order in the header, and leave out ORDER BY without a LIMIT"
    return errors + [
        Error(message, obj=f"{report.path}:{report.sql_line}", id="analytics.E005")
        for report in load_reports()
        if report.header.order is None and is_ordered(report.sql)
    ]


def check_report_sql(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Return the errors that PostgreSQL finds when it plans the reports.

    analytics.E002: PostgreSQL refuses the SQL. E003: the header names a column that the result does not have.
    E004: the report reads a table that depends_on does not cover. W001: their database is unavailable.

    Return nothing while migrations are pending, because a report may need their tables.
    """
    if not databases or pending_migrations():
        return []
    try:
        return [error for report in load_reports() for error in _errors(report)]
    except CANNOT_CHECK as error:
        message = "the SQL of the reports was not checked, because their database is unavailable or a table is locked"
        return [Warning(message, hint=str(error), id="analytics.W001")]


def check_availability(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Return analytics.W004 if `databases` is empty. None means that the caller did not ask for a database."""
    if databases is None or databases:
        return []
    message = "the database and the SQL of the reports were not checked, because the database is unavailable"
    return [Warning(message, hint="manage.py doctor says why.", id="analytics.W004")]


def _errors(report: ReportDefinition) -> Iterator[CheckMessage]:
    try:
        columns = {column.name for column in result_columns(report, BoundParameters(dict.fromkeys(report.parameters)))}
        undeclared = undeclared_relations(report) if report.header.depends_on else set()
    except CANNOT_CHECK:
        raise
    except ReportFailed as error:
        position = POSITION.search(str(error))
        line = int(position["line"]) if position else report.sql_line
        yield Error(str(error).removeprefix(f"{report.path.name}: "), obj=f"{report.path}:{line}", id="analytics.E002")
        return
    for key, name in _named_columns(report.header):
        if name not in columns and not (key.startswith("sales") and name in report.parameters):
            message = f"{key} names {name!r}; the columns of the result are {', '.join(sorted(columns))}"
            yield _error(report, name, message, "analytics.E003")
    if undeclared:
        message = f"the report reads {', '.join(sorted(undeclared))}, which depends_on does not cover"
        yield _error(report, "depends_on", message, "analytics.E004")


def _error(report: ReportDefinition, name: str, message: str, check_id: str) -> CheckMessage:
    """Return an error on the first line of the file that contains the name."""
    lines = report.path.read_text(encoding="utf-8-sig").splitlines()
    line = next((number for number, line in enumerate(lines, 1) if name in line), 1)
    return Error(message, obj=f"{report.path}:{line}", id=check_id)


def _named_columns(header: Header) -> Iterator[tuple[str, str]]:
    """Return each key of the header that names a column, and the column's name."""
    for name, column in header.columns.items():
        yield "columns", name
        for field, source in column.sales.items():
            yield f"sales.{field} of {name}", source
    if chart := header.chart:
        for name in chart.x:
            yield "chart.x", name
        for name in chart.y:
            yield "chart.y", name
        if chart.series:
            yield "chart.series", chart.series
