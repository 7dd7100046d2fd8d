import os
import secrets
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection

from sales.models import Sale
from salesengine.accounts.models import APIKey

DEMO_SALES = 50_000
LOCK = 0x50524550  # this command's number among PostgreSQL's advisory locks


class Command(BaseCommand):
    help = (
        "Make the service ready to start: bring the tables up to date, and make the user 'admin' if there is no "
        "administrator yet, with the password in DJANGO_SUPERUSER_PASSWORD or else a generated one, shown once. "
        "Run again, it changes nothing."
    )

    requires_system_checks = ()  # a bad report file must not keep the service from starting

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true", help="load demo data too, unless there are sales already")

    def handle(self, *args: Any, demo: bool, **options: Any) -> None:
        try:
            with self._one_at_a_time():
                self._prepare(demo)
        except OperationalError as error:
            raise CommandError(f"The database cannot be used: {error}") from None

    def _prepare(self, demo: bool) -> None:
        call_command("migrate", verbosity=0)
        self._make_admin()
        if settings.API_KEY_REQUIRED and not APIKey.objects.exists():
            self.stderr.write("The API wants keys, and there are none yet: make one with manage.py create_api_key.")
        if demo and Sale.objects.exists():
            self.stderr.write("There are sales already; no demo data is loaded.")
        elif demo:
            call_command("load_demo", sales=DEMO_SALES)

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Wait while another process prepares the same database.

        The lock is asked for again and again: an index that is built while sales come in waits for every statement that
        was there before, and so for one that waits for the lock.
        """
        with connection.cursor() as cursor:
            for attempt in count():
                cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
                if cursor.fetchone() == (True,):
                    break
                if attempt == 0:
                    self.stderr.write("Another process prepares this database; waiting for it.")
                time.sleep(0.2)
        try:
            yield
        finally:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])

    def _make_admin(self) -> None:
        users = get_user_model()._default_manager
        if users.filter(is_superuser=True).exists():
            return
        if users.filter(username="admin").exists():
            raise CommandError(
                "There is no administrator, and the user admin is none: make one with manage.py createsuperuser."
            )
        given = os.environ.get("DJANGO_SUPERUSER_PASSWORD")
        password = given or secrets.token_urlsafe(12)
        users.create_superuser("admin", password=password)
        shown = "the one in DJANGO_SUPERUSER_PASSWORD" if given else f"{password}   (shown only now: keep it)"
        self.stderr.write(f"Made the user admin; its password is {shown}")
