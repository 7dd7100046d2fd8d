from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = (
        "Upgrade the private database to the major version of PostgreSQL that is installed. The service must be "
        "stopped. The disk needs room for a second copy of the data; the old one stays until you remove it."
    )
    requires_system_checks = ()  # they use the database

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog = (
            "exit codes: 0 success, 1 failure, 2 DATABASE_URL is set; an upgrade that failed can be run again"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.IS_LOCAL:
            raise CommandError("DATABASE_URL names a server, and its operator upgrades it.", returncode=2)
        # Not installed where DATABASE_URL is set, such as in the Docker image.
        from salesengine.embedded.programs import EmbeddedServerError
        from salesengine.embedded.upgrading import upgrade

        try:
            old = upgrade(settings.LOCAL_DIR)
        except EmbeddedServerError as error:
            raise CommandError(str(error)) from None
        if old is None:
            self.stderr.write("The database is up to date.", str)
        else:
            self.stderr.write(f"The database is upgraded. Take a full backup. Then you may remove {old}.", str)
