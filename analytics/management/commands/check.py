from typing import Any

from django.core.checks import Tags, register
from django.core.management.commands import check
from django.db import DEFAULT_DB_ALIAS, connections

from analytics.running.checks import check_report_files, check_report_sql
from analytics.running.query import DATABASE_ALIAS
from salesengine.http.errors import DATABASE_UNAVAILABLE

# Here and not for every command: a bad report file keeps nobody from migrating, or from running the other reports.
register(check_report_files)
register(check_report_sql, Tags.database)


class Command(check.Command):
    """Django's own command. Where there is a database, it tries the SQL of the reports on it without being asked to."""

    def handle(self, *app_labels: Any, **options: Any) -> None:
        if not (app_labels or options["tags"] or options["list_tags"] or options["databases"]) and _database_answers():
            options["databases"] = [DATABASE_ALIAS]
        super().handle(*app_labels, **options)


def _database_answers() -> bool:
    try:
        for alias in (DEFAULT_DB_ALIAS, DATABASE_ALIAS):
            connections[alias].ensure_connection()
    except DATABASE_UNAVAILABLE:
        return False
    return True
