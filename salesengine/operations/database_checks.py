"""Check the database: whether it can be written, keeps what it has committed, and has all migrations.

A pooler that pools transactions must not be between it and the service.
"""

from collections.abc import Sequence
from typing import Any

import psycopg
from django.core.checks import CheckMessage, Error
from django.db import connection
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor

POOLER_PROBES = 5  # a pooler that pools transactions gives away a connection between any two of them


def check_database(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Return salesengine.E001 to E003 for a database that must not be written through this connection."""
    return [*write_errors(), *_pooler_errors()] if databases else []


def pending_migrations() -> Sequence[Migration]:
    """Return the migrations that are not applied to the default database, in their order."""
    executor = MigrationExecutor(connection)
    return [migration for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]


def write_errors() -> list[CheckMessage]:
    """Return salesengine.E001 if the database refuses writes, and E002 if a crash could lose what it has committed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('transaction_read_only'), current_setting('fsync'),"
            " current_setting('full_page_writes')"
        )
        read_only, fsync, full_page_writes = (setting == "on" for setting in cursor.fetchone())
    errors: list[CheckMessage] = []
    if read_only:
        hint = "Is it a replica, or has it run out of space? DATABASE_URL must name the primary."
        errors.append(Error("the database is read-only", hint=hint, id="salesengine.E001"))
    if not (fsync and full_page_writes):
        hint = "Set fsync and full_page_writes to on in PostgreSQL's configuration."
        errors.append(Error("a crash of the database would lose committed sales", hint=hint, id="salesengine.E002"))
    return errors


def _pooler_errors() -> list[CheckMessage]:
    """Return salesengine.E003 if a connection pooler pools transactions: then sessions share what they have set."""
    backends, others = set(), set()
    with (
        connection.wrap_database_errors,
        connection.cursor() as cursor,
        psycopg.connect(**connection.get_connection_params(), autocommit=True) as other,
    ):
        for _ in range(POOLER_PROBES):
            cursor.execute("SELECT pg_backend_pid()")
            backends.add(cursor.fetchone()[0])
            others.add(other.execute("SELECT pg_backend_pid()").fetchall()[0][0])
    if len(backends) == len(others) == 1 and backends != others:
        return []
    hint = "Let the pooler pool sessions (PgBouncer: pool_mode = session), or connect without it."
    return [Error("the connection pooler pools transactions", hint=hint, id="salesengine.E003")]
