import time
from contextlib import suppress
from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import Error, OperationalError, connections
from psycopg.errors import LockNotAvailable

# Requests queue behind a migration that waits for a table, so it tries for less time than they wait.
LOCK_TIMEOUT = "2s"
PAUSE = 5  # seconds
WAIT_LIMIT = 600  # seconds


class Command(migrate.Command):
    """Django's command, but a migration waits for a table in short attempts, so that requests go on between them.

    Migrations that are not atomic, such as those that build indexes, wait in their own ways.
    """

    def handle(self, *args: Any, **options: Any) -> None:
        self.connection = connections[options["database"]]
        self.is_atomic: bool | None = None  # until the first migration begins
        deadline = time.monotonic() + WAIT_LIMIT
        try:
            while True:
                try:
                    super().handle(*args, **options)
                    return
                except OperationalError as error:
                    if not self.is_atomic or not isinstance(error.__cause__, LockNotAvailable):
                        raise
                    if time.monotonic() > deadline:
                        raise CommandError(
                            f"A migration has waited {WAIT_LIMIT // 60} minutes for a table that another session uses. "
                            "Run this again when it has ended: it may be a dump or a long report."
                        ) from None
                self.stderr.write("A migration waits for a table that another session uses. Trying again.", str)
                time.sleep(PAUSE)
        finally:
            if self.is_atomic is not None:
                with suppress(Error):  # the connection is lost
                    self._limit("DEFAULT")

    def migration_progress_callback(self, action: str, migration: Any = None, fake: bool = False) -> None:
        """Set the limit of each migration before it begins, and show the progress."""
        if action in {"apply_start", "unapply_start"}:
            self.is_atomic = migration.atomic
            self._limit(f"'{LOCK_TIMEOUT}'" if self.is_atomic else "DEFAULT")
        super().migration_progress_callback(action, migration, fake)

    def _limit(self, value: str) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {value}")
