from argparse import ArgumentParser, RawDescriptionHelpFormatter
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand

from salesengine.operations.durations import parse_duration
from salesengine.operations.purging import PurgedTable, purge_older_than

REPORT_RUNS = PurgedTable("report_runs", "started_at", "runs of reports")
EXAMPLES = """\
examples:
  manage.py purge_report_runs --older-than 52w --dry-run
  manage.py purge_report_runs --older-than 52w

with cron, every Sunday at 03:30:
  30 3 * * 0  cd /srv/salesengine && .venv/bin/python manage.py purge_report_runs --older-than 52w

You can interrupt it at any time and run it again.

exit codes: 0 done, 1 failed, 2 wrong call
"""


class Command(BaseCommand):
    help = "Delete old runs from the log of report runs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        parser.add_argument(
            "--older-than", type=parse_duration, required=True, metavar="AGE", help="such as 90d, 12h or 52w"
        )
        parser.add_argument("--dry-run", action="store_true", help="count the runs, and delete nothing")

    def handle(self, *, older_than: timedelta, dry_run: bool, **options: Any) -> None:
        self.stderr.write(purge_older_than(REPORT_RUNS, older_than, dry_run=dry_run), str)
