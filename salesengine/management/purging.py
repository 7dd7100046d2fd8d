"""The base of the commands that delete old rows, a few thousand at a time."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin.models import DELETION
from django.core.management.base import BaseCommand
from django.db import Error, transaction
from django.db.models import Model, QuerySet
from django.utils import timezone

from salesengine.accounts.audit_log import record_command
from salesengine.operations.durations import parse_duration
from salesengine.plurals import counted

BATCH_SIZE = 5_000  # rows per transaction, so that no lock is held for long and an interruption loses little
EPILOG = """\
examples:
  {command} --older-than {age} --dry-run
  {command} --older-than {age}

every day at 03:30, with cron:
  30 3 * * *  cd /srv/salesengine && .venv/bin/python {command} --older-than {age}

{note}The command can be interrupted at any time and run again.

exit codes: 0 success, 1 failed, 2 invalid arguments
"""


class PurgeCommand(BaseCommand):
    """Delete the rows of a table that are older than --older-than, and leave an entry in the audit log."""

    model: type[Model]
    timestamp: str  # the indexed column with the age of a row
    label: str  # what to call one row; several are called the same with an s
    example_age: str
    default_age: str | None = None  # without one, --older-than is required
    note = ""  # a sentence for the help
    # Leave rows that another transaction has locked, such as an event that is being replayed, to the next purge.
    skip_locked = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EPILOG.format(command=parser.prog, age=self.example_age, note=self.note and f"{self.note}\n")
        default = f" (default: {self.default_age})" if self.default_age else ""
        parser.add_argument(
            "--older-than",
            type=self.parse_age,
            default=self.default_age,
            required=self.default_age is None,
            metavar="AGE",
            help=f"minimum age, such as 90d, 12h or 2w{default}",
        )
        parser.add_argument("--dry-run", action="store_true", help=f"count the {self.label}s, delete nothing")

    def parse_age(self, text: str) -> timedelta:
        return parse_duration(text)

    def handle(self, *, older_than: timedelta, dry_run: bool, **options: Any) -> None:
        before = timezone.now() - older_than
        if dry_run:
            old = self.model._default_manager.filter(**{f"{self.timestamp}__lt": before})
            self.stderr.write(f"Would delete {counted(old.count(), self.label)}.", str)
            return
        deleted = 0
        try:
            for number in purge(self.model, self.timestamp, before, skip_locked=self.skip_locked):
                deleted += number
        except BaseException:  # an interrupted purge has deleted rows too
            if deleted:
                with suppress(Error):  # of a database that is gone; the first error says so
                    self._report(deleted)
            raise
        self._report(deleted)

    def _report(self, deleted: int) -> None:
        message = f"Deleted {counted(deleted, self.label)}."
        self.stderr.write(message, str)
        if deleted:
            record_command(self.model, message, DELETION)


def purge(model: type[Model], timestamp: str, before: datetime, *, skip_locked: bool = True) -> Iterator[int]:
    """Delete the rows from before `before`, the oldest first. Yield the number of rows after each transaction."""
    old = model._default_manager.filter(**{f"{timestamp}__lt": before}).order_by(timestamp)
    while True:
        with transaction.atomic():
            deleted = _delete_by_key(old) if skip_locked else _delete_by_moment(old, timestamp)
        if deleted:
            yield deleted
        if deleted < BATCH_SIZE:
            return


def _delete_by_key(old: QuerySet[Any]) -> int:
    keys = list(old.select_for_update(skip_locked=True).values_list("pk", flat=True)[:BATCH_SIZE])
    return old.filter(pk__in=keys).delete()[0]


def _delete_by_moment(old: QuerySet[Any], timestamp: str) -> int:
    """Delete the rows up to the moment of the last one of a batch, without a lock on rows, which a cluster refuses."""
    moments = list(old.values_list(timestamp, flat=True)[BATCH_SIZE - 1 : BATCH_SIZE])
    return old.filter(**{f"{timestamp}__lte": moment for moment in moments}).delete()[0]
