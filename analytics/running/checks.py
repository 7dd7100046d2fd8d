"""`manage.py check` names the report files that cannot be used, and tries the SQL of the others on the database."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.checks import CheckMessage, Error
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.executor import MigrationExecutor

from analytics.definitions.headers import Header
from analytics.definitions.parameters import BoundParameters
from analytics.definitions.reports import ReportDefinition, invalid_reports, load_reports
from analytics.running.runner import ReportFailed, describe

PLACE = re.compile(r"\bLINE (?P<line>\d+): ")  # PostgreSQL's, and so that of the file


def check_report_files(**_: Any) -> list[CheckMessage]:
    """analytics.E001 for each bad file, with the line to look at."""
    return [Error(bad.reason, obj=f"{bad.path}:{bad.line}", id="analytics.E001") for bad in invalid_reports()]


def check_report_sql(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """analytics.E002 for each report that the database would refuse; E003 where its header names no column of it.

    Not while migrations wait to be run: the report may need what they make.
    """
    if not databases or _are_migrations_waiting():
        return []
    return [error for report in load_reports() for error in _errors(report)]


def _are_migrations_waiting() -> bool:
    executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def _errors(report: ReportDefinition) -> Iterator[CheckMessage]:
    try:
        columns = {column.name for column in describe(report, BoundParameters(dict.fromkeys(report.parameters)))}
    except ReportFailed as error:
        place = PLACE.search(str(error))
        line = int(place["line"]) if place else report.sql_line
        yield Error(str(error).removeprefix(f"{report.path.name}: "), obj=f"{report.path}:{line}", id="analytics.E002")
        return
    for what, name in _columns_named(report.header):
        if name not in columns and not (what.startswith("sales") and name in report.parameters):
            message = f"{what} names {name!r}; the columns of the result are {', '.join(sorted(columns))}"
            yield Error(message, obj=f"{report.path}:{_line_of(report, name)}", id="analytics.E003")


def _line_of(report: ReportDefinition, name: str) -> int:
    """The first line of the file that has the name."""
    lines = report.path.read_text(encoding="utf-8-sig").splitlines()
    return next((number for number, line in enumerate(lines, 1) if name in line), 1)


def _columns_named(header: Header) -> Iterator[tuple[str, str]]:
    """What in the header names a column, and which."""
    for name, column in header.columns.items():
        yield "columns", name
        for field, source in column.sales.items():
            yield f"sales.{field} of {name}", source
    if chart := header.chart:
        yield "chart.x", chart.x
        for name in chart.y:
            yield "chart.y", name
        if chart.series:
            yield "chart.series", chart.series
