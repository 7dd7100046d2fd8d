from typing import Any

from django.core.checks import Tags, register
from django.core.management.commands import check
from django.db import DEFAULT_DB_ALIAS, connections

from analytics.running.checks import check_report_files, check_report_sql
from analytics.running.query import DATABASE_ALIAS
from salesengine.http.errors import DATABASE_UNAVAILABLE

# Registered only for this command, so that an invalid report file does not stop migrations or other reports.
register(check_report_files)
register(check_report_sql, Tags.database)


class Command(check.Command):
    """Django's own command. Without arguments, it also checks the SQL of reports if the database is available."""

    def handle(self, *app_labels: Any, **options: Any) -> None:
        has_arguments = app_labels or options["tags"] or options["list_tags"] or options["databases"]
        if not has_arguments and _is_database_available():
            options["databases"] = [DATABASE_ALIAS]
        super().handle(*app_labels, **options)


def _is_database_available() -> bool:
    try:
        for alias in (DEFAULT_DB_ALIAS, DATABASE_ALIAS):
            connections[alias].ensure_connection()
    except DATABASE_UNAVAILABLE:
        return False
    return True
