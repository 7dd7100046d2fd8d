"""Find the migrations that the database lacks."""

from collections.abc import Sequence

from django.db import connection
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor


def pending_migrations() -> Sequence[Migration]:
    """Return the migrations that are not applied to the default database, in their order."""
    executor = MigrationExecutor(connection)
    return [migration for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]
