from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand

from sales.models import IdempotencyKey
from salesengine.operations.durations import parse_duration
from salesengine.operations.purging import PurgedTable, purge_older_than

IDEMPOTENCY_KEYS = PurgedTable(IdempotencyKey, "created_at", "Idempotency-Keys")
LEAST = timedelta(hours=24)
EXAMPLES = """\
examples:
  manage.py purge_idempotency_keys --dry-run
  manage.py purge_idempotency_keys
  manage.py purge_idempotency_keys --older-than 7d

every day at three, with cron:
  0 3 * * *  cd /srv/salesengine && .venv/bin/python manage.py purge_idempotency_keys

A request that comes again with a key that was deleted is taken as a new one. It can be interrupted at any time and run
again.

exit codes: 0 done, 1 failed, 2 wrong call
"""


class Command(BaseCommand):
    help = "Delete Idempotency-Keys, and the answers kept with them, that came at least 24 hours ago."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        parser.add_argument(
            "--older-than",
            type=parse_age,
            default=LEAST,
            metavar="AGE",
            help="such as 24h (default, and the least), 7d or 2w",
        )
        parser.add_argument("--dry-run", action="store_true", help="say how many there are, and delete none")

    def handle(self, *, older_than: timedelta, dry_run: bool, **options: Any) -> None:
        self.stderr.write(purge_older_than(IDEMPOTENCY_KEYS, older_than, dry_run=dry_run), str)


def parse_age(text: str) -> timedelta:
    """A duration that is long enough: clients are promised that they can send again for that long."""
    age = parse_duration(text)
    if age < LEAST:
        raise ArgumentTypeError(f"“{text}” is too short: keys are kept for at least 24 hours.")
    return age
