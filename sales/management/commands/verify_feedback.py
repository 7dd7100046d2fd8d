from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sales.models import Total
from sales.totals import feedback, verification
from sales.totals.figures import ZERO, Difference
from salesengine.accounts.audit_log import record_command
from salesengine.backups.manifests import Backup, DamagedBackupError, read_manifest
from salesengine.management.exit_codes import exit_codes
from salesengine.operations.progress import progress
from salesengine.plurals import counted

EPILOG = """\
exit codes: 0 all figures agree, 1 failure, 2 invalid arguments, 4 figures differ, or the manifest is damaged,
130 interrupted, 143 SIGTERM, 129 SIGHUP
"""


class Command(BaseCommand):
    help = (
        "Add up all sales and compare the result with the stored totals of feedback and of the reports by country. If "
        "they agree, standard output stays empty. Otherwise each difference is printed. Sales can be stored while the "
        "command runs; on a Citus cluster, they wait."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EPILOG
        parser.add_argument("--repair", action="store_true", help="rebuild the totals from the sales, then verify")
        parser.add_argument(
            "--backup", type=Path, metavar="MANIFEST", help="also compare the totals with those in a backup's manifest"
        )

    def handle(self, *args: Any, repair: bool, backup: Path | None, **options: Any) -> None:
        with exit_codes():
            other = read_manifest(backup) if backup else None
        sales = feedback.watermark().sales
        if repair:
            with progress("Rebuilding", sales) as advance:
                verification.repair(advance)
            record_command(Total, "Rebuilt the totals of feedback and of countries from the sales.")
        with progress("Verifying", sales) as advance:
            differences = verification.verify(advance)
        self._report(differences, "the sales. Run verify_feedback --repair to rebuild the totals")
        if other:
            self._report(_differences_from(other), f"those in {backup}")
        self.stderr.write(f"Feedback agrees with all {counted(feedback.watermark().sales, 'sale')}.", str)

    def _report(self, differences: Sequence[Difference], others: str) -> None:
        """Print the differences from the other figures. Raises CommandError if there are any."""
        if not (number := len(differences)):
            return
        with suppress(OSError):  # the exit code says more than an output that cannot be written
            for difference in differences:
                self.stdout.write(str(difference))
        differ = f"{counted(number, 'figure')} {'differs' if number == 1 else 'differ'} from {others}."
        raise CommandError(differ, returncode=DamagedBackupError.exit_code)


def _differences_from(backup: Backup) -> list[Difference]:
    """Return the figures that differ from those of the backup, unless sales arrived while it was taken."""
    expected, restored = backup.figures_at_start, feedback.figures_by_category()
    if backup.figures_at_end != expected:
        return []
    return [
        Difference(f"{category or 'no category'}, backup {backup.name}", *pair)
        for category in sorted(expected | restored)
        if (pair := (restored.get(category, ZERO), expected.get(category, ZERO)))[0] != pair[1]
    ]
