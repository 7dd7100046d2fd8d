from typing import Any

from django.core.management.commands import check
from django.db import DEFAULT_DB_ALIAS, connections

from analytics.runner import ALIAS
from salesengine.errors import DATABASE_AWAY


class Command(check.Command):
    """Django's own command. Where there is a database, it tries the SQL of the reports on it without being asked to."""

    def handle(self, *app_labels: Any, **options: Any) -> None:
        if not (app_labels or options["tags"] or options["list_tags"] or options["databases"]) and _database_answers():
            options["databases"] = [ALIAS]
        super().handle(*app_labels, **options)


def _database_answers() -> bool:
    try:
        for alias in (DEFAULT_DB_ALIAS, ALIAS):
            connections[alias].ensure_connection()
    except DATABASE_AWAY:
        return False
    return True
