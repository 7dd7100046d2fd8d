from argparse import ArgumentParser, RawDescriptionHelpFormatter
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand

from sales.models import RejectedEvent
from salesengine.operations.durations import parse_duration
from salesengine.operations.purging import PurgedTable, purge_older_than

REJECTED_EVENTS = PurgedTable(RejectedEvent, "received_at", "rejected events")
EXAMPLES = """\
examples:
  manage.py purge_rejected --older-than 90d --dry-run
  manage.py purge_rejected --older-than 90d

every day at 03:30, with cron:
  30 3 * * *  cd /srv/salesengine && .venv/bin/python manage.py purge_rejected --older-than 90d

Deletes replayed events as well as waiting ones. The sales of replayed events stay. The command can be interrupted at
any time and run again.

exit codes: 0 done, 1 failed, 2 invalid arguments
"""


class Command(BaseCommand):
    help = "Delete old rejected events, replayed or not."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        parser.add_argument(
            "--older-than",
            type=parse_duration,
            required=True,
            metavar="AGE",
            help="minimum age, such as 90d, 12h or 2w",
        )
        parser.add_argument("--dry-run", action="store_true", help="count the events, delete nothing")

    def handle(self, *, older_than: timedelta, dry_run: bool, **options: Any) -> None:
        self.stderr.write(purge_older_than(REJECTED_EVENTS, older_than, dry_run=dry_run), str)
