import datetime
import shlex
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from salesengine.backups.dumps import restore_dump
from salesengine.backups.manifests import BackupUsageError
from salesengine.backups.object_storage import folder_or_url, local_folder
from salesengine.management.exit_codes import EXIT_CODES, exit_codes


class Command(BaseCommand):
    help = (
        "Restore a backup into a new LOCAL_DIR. The database of the service is not touched. The archived log is "
        "replayed completely, or up to a time. With DATABASE_URL, which must name an empty database, the newest dump "
        "is restored there."
    )
    requires_system_checks = ()  # it does not use the database of the service

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXIT_CODES
        parser.add_argument(
            "--from", dest="folder", type=folder_or_url, required=True, metavar="DIR", help="the backups"
        )
        parser.add_argument("--to", type=Path, metavar="NEW_LOCAL_DIR", help="an empty or new folder")
        parser.add_argument(
            "--at", type=_time, metavar="TIME", help="such as 2021-01-07T12:04:59Z; UTC, unless it has an offset"
        )

    def handle(
        self, *args: Any, folder: Path | str, to: Path | None, at: datetime.datetime | None, **options: Any
    ) -> None:
        with exit_codes():
            if not settings.IS_LOCAL:
                if to or at or isinstance(folder, str):
                    raise BackupUsageError("With DATABASE_URL, --from names a folder, and --to and --at do not work.")
                dump = restore_dump(folder)
                self.stderr.write(f"Restored the database of DATABASE_URL from {dump}.", str)
                return
            if to is None:
                raise BackupUsageError("Name a new folder with --to.")
            # Its programs are not installed where DATABASE_URL is set, such as in the Docker image.
            from salesengine.backups.restoring import restore

            with local_folder(folder) as backups:
                backup = restore(backups, to, at)
        self._say_how_to_go_on(backup.name, f"LOCAL_DIR={shlex.quote(str(to.resolve()))}")

    def _say_how_to_go_on(self, backup: str, local_dir: str) -> None:
        """Print how to start the database, and warn that the archived log alone cannot restore what it gets then."""
        self.stderr.write(f"Restored the backup {backup}. To serve it, with a new, empty BACKUP_DIR in .env:", str)
        self.stdout.write(f"{local_dir} bin/start")
        self.stdout.flush()
        self.stderr.write(
            "Take a full backup as soon as it runs. Until then, nothing that comes in from now on can be restored:\n"
            f"{local_dir} .venv/bin/python manage.py backup{'' if settings.BACKUP_DIR else ' --to DIR'}",
            self.style.WARNING,
        )


def _time(text: str) -> datetime.datetime:
    try:
        time = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a time such as 2021-01-07T12:04:59Z") from None
    return time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
