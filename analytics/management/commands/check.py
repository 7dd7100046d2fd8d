from contextlib import suppress
from typing import Any

from django.core.checks import Tags, register
from django.core.management.commands import check
from django.db import DEFAULT_DB_ALIAS, connections

from analytics.running.checks import check_availability, check_report_files, check_report_sql
from analytics.running.query import DATABASE_ALIAS
from analytics.running.reports_role import role_warnings
from salesengine.http.errors import CONNECTION_ERRORS

# Registered only for this command, so that an invalid report file does not stop migrations or other reports.
register(check_availability)
register(check_report_files)
register(check_report_sql, Tags.database)
register(role_warnings, Tags.database)


class Command(check.Command):
    """Django's own command. Without arguments, it also checks the database, if available, and the SQL of reports."""

    def handle(self, *app_labels: Any, **options: Any) -> None:
        has_arguments = app_labels or options["tags"] or options["list_tags"] or options["databases"]
        if not has_arguments:
            options["databases"] = _available_databases()
        super().handle(*app_labels, **options)


def _available_databases() -> list[str]:
    """Return the database of the reports, or else the one of the service: one of them, because both are checked once.

    Return nothing without the database of the service, because it knows whether migrations are pending.
    """
    available = []
    for alias in (DEFAULT_DB_ALIAS, DATABASE_ALIAS):
        with suppress(*CONNECTION_ERRORS):
            connections[alias].ensure_connection()
            available.append(alias)
    return available[-1:] if DEFAULT_DB_ALIAS in available else []
