"""Check the database server: its version, settings, clock, migrations, archive and replica."""

import datetime
import math
import time
from collections.abc import Iterator

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004

from salesengine.operations.database_checks import pending_migrations
from salesengine.operations.doctor.diagnosis import PENDING_MIGRATIONS
from salesengine.operations.doctor.queries import query
from salesengine.operations.last_backup import archive_warnings
from salesengine.operations.scrape import REPLICATION, REPORTS
from salesengine.plurals import counted

MIN_VERSION = 17
MAX_CLOCK_DIFFERENCE = 5  # seconds
MAX_TRANSACTION = datetime.timedelta(hours=1)
MAX_REPLICATION_LAG = 60  # seconds
SETTINGS = """
    SELECT current_setting('autovacuum')::bool AND current_setting('track_counts')::bool,
        current_setting('is_superuser')::bool,
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    """
# How many locks a statement takes that reads all partitions of a table, and how many fit into shared memory.
LOCKS = """
    SELECT max(locks), current_setting('max_locks_per_transaction')::int, 2 * current_setting('max_connections')::int
    FROM (
        SELECT SUM(1 + (SELECT COUNT(*) FROM pg_index WHERE indrelid = relid)) AS locks
        FROM pg_partitioned_table, pg_partition_tree(partrelid)
        GROUP BY partrelid
    ) AS counted
    """
LONG_TRANSACTIONS = """
    SELECT pid, coalesce(nullif(application_name, ''), usename, ''), now() - xact_start
    FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND xact_start < now() - %s
    ORDER BY xact_start LIMIT 10
    """


def check_version() -> Iterator[CheckMessage]:
    """Yield salesengine.E201 for a PostgreSQL that is too old."""
    version = query("SELECT current_setting('server_version_num')::int / 10000")[0][0]
    if version < MIN_VERSION:
        message = f"PostgreSQL {version} is too old"
        yield Error(message, hint=f"Upgrade it to {MIN_VERSION} or newer.", id="salesengine.E201")


def check_migrations() -> Iterator[CheckMessage]:
    """Yield salesengine.E202 if migrations are pending."""
    if pending := pending_migrations():
        message = f"{counted(len(pending), 'migration')} pending, from {pending[0]} on"
        yield Error(message, hint="Run manage.py prepare.", id=PENDING_MIGRATIONS)


def check_server_settings() -> Iterator[CheckMessage]:
    """Yield salesengine.W201 for too few connections, W202 without autovacuum, and W203 for a superuser."""
    [(cleans_up, is_superuser, connection_count)] = query(SETTINGS)
    pools = [settings.DATABASES[alias]["OPTIONS"]["pool"]["max_size"] for alias in ("default", "singles")]
    needed = settings.WEB_CONCURRENCY * (sum(pools) + settings.REPORTS_AT_ONCE)
    if connection_count < needed:
        hint = "Raise max_connections in PostgreSQL, or lower WEB_CONCURRENCY or WEB_THREADS."
        message = f"the database allows {connection_count} connections, but the service may need {needed}"
        yield Warning(message, hint=hint, id="salesengine.W201")
    if not cleans_up:
        hint = "Set autovacuum and track_counts to on in PostgreSQL's configuration."
        yield Warning("the database does not clean up by itself, so it gets slower", hint=hint, id="salesengine.W202")
    if is_superuser and not settings.IS_LOCAL:
        hint = "Let DATABASE_URL name a user without superuser rights that owns the database."
        yield Warning("the service uses the database as a superuser", hint=hint, id="salesengine.W203")


def check_locks() -> Iterator[CheckMessage]:
    """Yield salesengine.W208 if statements that read all partitions of a table may together run out of locks."""
    [(locks, limit, factor)] = query(LOCKS)
    needed = math.ceil(settings.WEB_CONCURRENCY * settings.WEB_THREADS * (locks or 0) / factor)
    if needed > limit:
        message = f"PostgreSQL has {limit} locks per transaction, but the partitions of a table may need {needed}"
        hint = f"Set max_locks_per_transaction to {max(needed, 1024)} in PostgreSQL's configuration, and restart it."
        yield Warning(message, hint=hint, id="salesengine.W208")


def check_clock() -> Iterator[CheckMessage]:
    """Yield salesengine.W204 if the clocks of the service and the database differ."""
    before = time.time()
    [(database_time,)] = query("SELECT extract(epoch FROM clock_timestamp())::float")
    after = time.time()
    difference = max(database_time - after, before - database_time)
    if difference > MAX_CLOCK_DIFFERENCE:
        faster = "database" if database_time > after else "service"
        message = f"the clock of the {faster} is {difference:.0f} seconds ahead of the other one"
        hint = "Synchronize the clocks of both machines with NTP. Expiry dates and figures by minute depend on them."
        yield Warning(message, hint=hint, id="salesengine.W204")


def check_archive() -> Iterator[CheckMessage]:
    """Yield salesengine.W205 if the write-ahead log cannot be archived."""
    for warning in archive_warnings():
        hint = "Correct archive_command, or make room where it writes."
        yield Warning(warning.rstrip("."), hint=hint, id="salesengine.W205")


def check_long_transactions() -> Iterator[CheckMessage]:
    """Yield salesengine.W206 for each transaction that has run for very long."""
    for pid, name, age in query(LONG_TRANSACTIONS, [MAX_TRANSACTION]):
        minutes = counted(int(age.total_seconds() // 60), "minute")
        message = f"a transaction of {name} has been open for {minutes}, so dead rows cannot be removed"
        hint = f"If nobody needs it, end it: SELECT pg_terminate_backend({pid})"
        yield Warning(message, hint=hint, id="salesengine.W206")


def check_replication_lag() -> Iterator[CheckMessage]:
    """Yield salesengine.W207 if reports read old data, because their database is a replica that is behind."""
    [(lag,)] = query(REPLICATION, alias=REPORTS)
    if lag and lag > MAX_REPLICATION_LAG:
        message = f"reports read data that is {counted(int(lag), 'second')} old"
        hint = "Look at the replica in REPORTS_DATABASE_URL: does it reach the primary, and has it enough resources?"
        yield Warning(message, hint=hint, id="salesengine.W207")
