import datetime
import shlex
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from salesengine.backups.exit_codes import EXIT_CODES, exit_codes
from salesengine.backups.restoring import restore


class Command(BaseCommand):
    help = (
        "Restore a backup into a new LOCAL_DIR. The database of the service is not touched. The archived log is "
        "replayed completely, or up to a time."
    )
    requires_system_checks = ()  # it does not use the database of the service

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXIT_CODES
        parser.add_argument("--from", dest="folder", type=Path, required=True, metavar="DIR", help="the backups")
        parser.add_argument("--to", type=Path, required=True, metavar="NEW_LOCAL_DIR", help="an empty or new folder")
        parser.add_argument(
            "--at", type=_time, metavar="TIME", help="such as 2021-01-07T12:04:59Z; UTC, unless it has an offset"
        )

    def handle(self, *args: Any, folder: Path, to: Path, at: datetime.datetime | None, **options: Any) -> None:
        with exit_codes():
            backup = restore(folder, to, at)
        self.stderr.write(f"Restored {to} from the backup {backup.name}. To serve it:", str)
        self.stdout.write(f"LOCAL_DIR={shlex.quote(str(to.resolve()))} bin/start")


def _time(text: str) -> datetime.datetime:
    try:
        time = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a time such as 2021-01-07T12:04:59Z") from None
    return time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
