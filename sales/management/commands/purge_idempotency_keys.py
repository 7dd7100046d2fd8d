from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand

from sales.models import IdempotencyKey
from salesengine.operations.durations import parse_duration
from salesengine.operations.purging import PurgedTable, purge_older_than

IDEMPOTENCY_KEYS = PurgedTable(IdempotencyKey, "created_at", "Idempotency-Keys")
MIN_AGE = timedelta(hours=24)
EXAMPLES = """\
examples:
  manage.py purge_idempotency_keys --dry-run
  manage.py purge_idempotency_keys
  manage.py purge_idempotency_keys --older-than 7d

every day at 03:00, with cron:
  0 3 * * *  cd /srv/salesengine && .venv/bin/python manage.py purge_idempotency_keys

A request that repeats a deleted key counts as a new request. The command can be interrupted at any time and run again.

exit codes: 0 done, 1 failed, 2 invalid arguments
"""


class Command(BaseCommand):
    help = "Delete Idempotency-Keys that are at least 24 hours old, and the responses stored with them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        parser.add_argument(
            "--older-than",
            type=parse_age,
            default=MIN_AGE,
            metavar="AGE",
            help="minimum age, such as 7d or 2w (default and shortest: 24h)",
        )
        parser.add_argument("--dry-run", action="store_true", help="count the keys, delete nothing")

    def handle(self, *, older_than: timedelta, dry_run: bool, **options: Any) -> None:
        self.stderr.write(purge_older_than(IDEMPOTENCY_KEYS, older_than, dry_run=dry_run), str)


def parse_age(text: str) -> timedelta:
    """Parse a duration of at least MIN_AGE, because clients may rely on repeating a request for that long."""
    age = parse_duration(text)
    if age < MIN_AGE:
        raise ArgumentTypeError(f"“{text}” is too short: keys are stored for at least 24 hours.")
    return age
