import os
import subprocess
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from salesengine.backups.manifests import MANIFEST, BackupError, DamagedBackupError
from salesengine.backups.object_storage import folder_or_url, local_folder, temporary_folder
from salesengine.management.exit_codes import EXIT_CODES, exit_codes


class Command(BaseCommand):
    help = (
        "Restore the newest backup in a folder into a temporary database, and run verify_feedback there. It also "
        "compares the figures with those that the service had when the backup was taken. TMPDIR chooses the place."
    )
    requires_system_checks = ()  # it does not use the database of the service

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXIT_CODES
        parser.add_argument("folder", type=folder_or_url, metavar="DIR", help="the folder of the backups, or its URL")

    def handle(self, *args: Any, folder: Path | str, **options: Any) -> None:
        if not settings.IS_LOCAL:
            raise CommandError("Restore the dump into an empty DATABASE_URL and run verify_feedback.", returncode=2)
        # Its programs are not installed where DATABASE_URL is set, such as in the Docker image.
        from salesengine.backups.restoring import restore

        with exit_codes(), local_folder(folder) as backups, temporary_folder() as scratch:
            local_dir = scratch.resolve() / "local"
            backup = restore(backups, local_dir, replay=False)
            manifest = backups.resolve() / backup.name / MANIFEST
            if _manage(local_dir, "migrate", "--verbosity", "0"):  # if the backup is older than this version
                raise BackupError(f"The backup {backup.name} was restored, but its database cannot be migrated.")
            if code := _manage(local_dir, "verify_feedback", "--backup", str(manifest)):
                if code == DamagedBackupError.exit_code:
                    raise DamagedBackupError(f"The backup {backup.name} restores to other figures.")
                raise BackupError(f"The backup {backup.name} was restored, but its figures cannot be verified.")
        self.stderr.write(f"The backup {backup.name} is complete, and its figures are right.", str)


def _manage(local_dir: Path, *command: str) -> int:
    """Run a command on the private database in `local_dir`. Return its exit code."""
    environment = os.environ | {"LOCAL_DIR": str(local_dir)}
    environment |= dict.fromkeys(("DATABASE_URL", "REPORTS_DATABASE_URL", "BACKUP_DIR"), "")
    return subprocess.run([sys.executable, settings.BASE_DIR / "manage.py", *command], env=environment).returncode
