import os
import secrets
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

from django.conf import settings
from django.contrib.admin.models import ADDITION
from django.contrib.auth import get_user_model
from django.contrib.auth.password_validation import validate_password
from django.contrib.postgres.operations import AddIndexConcurrently
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, OperationalError, connection, transaction
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor

from sales.models import Sale
from salesengine.accounts.audit_log import record_command
from salesengine.accounts.models import APIKey
from salesengine.operations.database_checks import check_database

DEMO_SALES = 50_000
LOCK = 0x50524550  # id of this command's advisory lock in PostgreSQL


class Command(BaseCommand):
    help = (
        "Prepare the service for its start: migrate the database, and create the user 'admin' unless an administrator "
        "exists. Its password is DJANGO_SUPERUSER_PASSWORD, or else a generated one that is shown once. It is safe to "
        "run this again."
    )

    requires_system_checks = ()  # an invalid report file must not prevent the start

    def add_arguments(self, parser: ArgumentParser) -> None:
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
        call_command("clearsessions")
        self._create_admin()
        if settings.API_KEY_REQUIRED and not APIKey.objects.exists():
            self.stderr.write("The API requires keys, and none exist yet: create one with manage.py create_api_key.")
        if demo and Sale.objects.exists():
            self.stderr.write("The database has sales already; no demo data was loaded.")
        elif demo:
            call_command("load_demo", sales=DEMO_SALES)

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Wait while another process prepares the same database.

        This polls instead of waiting in PostgreSQL, because CREATE INDEX CONCURRENTLY in the other process waits for
        all older statements to end, so both processes would wait forever.
        """
        with connection.cursor() as cursor:
            for attempt in count():
                cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
                if cursor.fetchone() == (True,):
                    break
                if attempt == 0:
                    self.stderr.write("Another process is preparing this database; waiting for it.")
                time.sleep(0.2)
        try:
            yield
        finally:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])

    def _migrate(self) -> None:
        executor = MigrationExecutor(connection)
        migrations = [migration for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]
        _drop_unfinished_indexes(migrations)
        call_command("migrate", verbosity=0)
        if any(migration.app_label == "sales" for migration in migrations) and Sale.objects.exists():
            self.stderr.write(
                "The tables of sales have changed. If processes of the version before were still writing, run "
                "manage.py verify_feedback --repair after they have stopped."
            )

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
        self.stderr.write(f"Created the user admin; its password is {shown}")


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
