import os
import secrets
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.contrib.admin.models import ADDITION
from django.contrib.auth import get_user_model
from django.contrib.auth.password_validation import validate_password
from django.contrib.postgres.operations import AddIndexConcurrently
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, DatabaseError, OperationalError, connection, transaction
from django.db.migrations import Migration

from analytics.running.query import DATABASE_ALIAS
from analytics.running.reports_role import prepare_reports_role, role_warnings
from sales.models import Sale
from sales.partitions.making import make_months, months_of_others
from salesengine.accounts.audit_log import record_command
from salesengine.accounts.models import APIKey
from salesengine.operations.database_checks import check_database, pending_migrations
from salesengine.operations.last_backup import backup_warnings

EPILOG = """\
Several processes may run it at once: one works, and the others wait. If it is interrupted, run it again.

exit codes: 0 success, 1 failure, 2 invalid arguments, 130 interrupted, 143 SIGTERM, 129 SIGHUP
"""
DEMO_SALES = 50_000
LOCK = 0x50524550  # id of this command's advisory lock in PostgreSQL
WAIT_LIMIT = 600  # seconds to wait for another process, whose migrations may take minutes
MESSAGE_INTERVAL = 10  # seconds
FIND_HOLDER = """
    SELECT pid, left(query, 200),
        coalesce(state || ' for ' || extract(epoch FROM now() - state_change)::bigint || ' s', 'of another user')
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND classid = 0 AND objid = %s AND granted AND datname = current_database()
    """


class Command(BaseCommand):
    help = (
        "Prepare the service for its start: migrate the database, create the database role of reports, and create the "
        "user 'admin' unless an administrator exists. Its password is DJANGO_SUPERUSER_PASSWORD, or else a generated "
        "one that is shown once. It is safe to run this again."
    )

    requires_system_checks = ()  # an invalid report file must not prevent the start

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EPILOG
        parser.add_argument("--demo", action="store_true", help="also load demo data, unless the database has sales")

    def handle(self, *args: Any, demo: bool, **options: Any) -> None:
        try:
            with self._one_at_a_time():
                self._prepare(demo)
        except OperationalError as error:
            raise CommandError(f"Cannot use the database: {error}") from None

    def _prepare(self, demo: bool) -> None:
        for error in check_database([DEFAULT_DB_ALIAS]):
            raise CommandError(f"{error.msg[0].upper()}{error.msg[1:]} ({error.id}). {error.hint}")
        self._migrate()
        make_months(months_of_others(), patient=True)
        self._prepare_reports()
        call_command("clearsessions")
        self._create_admin()
        if settings.API_KEY_REQUIRED and not APIKey.objects.exists():
            self.stderr.write(
                "The API requires keys, and none exist yet: create one with manage.py create_api_key.", str
            )
        if demo and Sale.objects.exists():
            self.stderr.write("The database has sales already; no demo data was loaded.", str)
        elif demo:
            call_command("load_demo", sales=DEMO_SALES)
        if (warnings := backup_warnings()) and Sale.objects.exists():
            for warning in warnings:
                self.stderr.write(f"Warning: {warning}", self.style.WARNING)

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Wait while another process prepares the same database. Raises CommandError after WAIT_LIMIT seconds.

        This polls instead of waiting in PostgreSQL, because CREATE INDEX CONCURRENTLY in the other process waits for
        all older statements to end, so both processes would wait forever.
        """
        start = next_message = time.monotonic()
        while not _try_lock():
            if time.monotonic() >= next_message:
                self._report_wait(time.monotonic() - start)
                next_message += MESSAGE_INTERVAL
            time.sleep(0.2)
        try:
            yield
        finally:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])

    def _report_wait(self, seconds: float) -> None:
        with connection.cursor() as cursor:
            cursor.execute(FIND_HOLDER, [LOCK])
            holder = cursor.fetchone()
        if holder is None:  # it has just ended
            return
        pid, query, state = holder
        session = f"database session {pid}, {state}: {' '.join(query.split())}"
        if seconds < WAIT_LIMIT:
            self.stderr.write(f"Another process is preparing this database; waiting for {session}", str)
            return
        raise CommandError(
            f"Another process has been preparing this database for {WAIT_LIMIT // 60} minutes: {session}\nRun prepare "
            f"again when it has ended. If it hangs, end it with: SELECT pg_terminate_backend({pid})"
        )

    def _migrate(self) -> None:
        migrations = pending_migrations()
        _drop_unfinished_indexes(migrations)
        call_command("migrate", verbosity=0)
        if any(migration.app_label == "sales" for migration in migrations) and Sale.objects.exists():
            self.stderr.write(
                "The tables of sales have changed. If processes of the version before were still writing, run "
                "manage.py verify_feedback --repair after they have stopped.",
                self.style.WARNING,
            )

    def _prepare_reports(self) -> None:
        """Prepare the role of reports. Without it, everything but reports works, so a failure is only a warning."""
        try:
            with transaction.atomic():
                prepare_reports_role()
        except DatabaseError as error:
            self.stderr.write(f"The role of reports could not be prepared: {error}", self.style.WARNING)
        for warning in role_warnings([DATABASE_ALIAS]):
            self.stderr.write(f"Warning: {warning.msg} ({warning.id}). {warning.hint}", self.style.WARNING)

    def _create_admin(self) -> None:
        users = get_user_model()._default_manager
        if users.filter(is_superuser=True).exists():
            return
        if users.filter(username="admin").exists():
            raise CommandError(
                "No administrator exists, and the user admin is not one: create one with manage.py createsuperuser."
            )
        chosen = os.environ.get("DJANGO_SUPERUSER_PASSWORD")
        if chosen:
            _check_password(chosen)
        password = chosen or secrets.token_urlsafe(12)
        with transaction.atomic():
            admin = users.create_superuser("admin", password=password)
            record_command(admin, "Added as the first administrator.", ADDITION)
        shown = "the one in DJANGO_SUPERUSER_PASSWORD" if chosen else f"{password}   (shown only now: save it)"
        self.stderr.write(f"Created the user admin; its password is {shown}", str)


def _try_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
        is_locked: bool = cursor.fetchone()[0]
    return is_locked


def _drop_unfinished_indexes(migrations: Sequence[Migration]) -> None:
    """Drop the indexes that these pending migrations build, so that a migration that was killed can run again.

    CREATE INDEX CONCURRENTLY leaves an invalid index when it is interrupted, and fails if the index exists.
    """
    operations = [operation for migration in migrations for operation in migration.operations]
    with connection.cursor() as cursor:
        for operation in operations:
            if isinstance(operation, AddIndexConcurrently):
                name = connection.ops.quote_name(operation.index.name)
                cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def _check_password(password: str) -> None:
    """Raise CommandError unless this password of the user admin is as strong as those of other users must be."""
    try:
        validate_password(password, get_user_model()(username="admin"))
    except ValidationError as error:
        raise CommandError(f"DJANGO_SUPERUSER_PASSWORD is too weak. {' '.join(error.messages)}") from None
