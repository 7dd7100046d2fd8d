import time
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import Error, connections

from analytics.running.query import DATABASE_ALIAS
from analytics.running.reports_role import grant_reading
from sales.cluster import requirements, steps
from sales.cluster.steps import ClusterStep
from sales.models import Sale
from salesengine.accounts.audit_log import record_command
from salesengine.database import session_lock
from salesengine.plurals import counted

LOCK = 0x44495354  # id of this command's advisory lock in PostgreSQL
MAX_SHARDS = 1_024
EPILOG = """\
examples:
  manage.py distribute --dry-run
  manage.py distribute --shards 32
  manage.py distribute --reverse

DATABASE_URL must name the coordinator and a superuser. Stop the service first: while a table moves, nobody can write to
it. The command can be interrupted at any time and run again: it goes on where it stopped. docs/scaling.md says when a
cluster is worth it.

exit codes: 0 success, 1 failure, 2 invalid arguments
"""


class Command(BaseCommand):
    help = (
        "Distribute the tables over the workers of a Citus cluster, or bring them back to one server. Verifies the "
        "figures at the end."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EPILOG
        parser.add_argument(
            "--shards", type=shard_count, default=32, metavar="N", help="shards of each table (default: %(default)s)"
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
        parser.add_argument("--reverse", action="store_true", help="bring all tables back to the coordinator")

    def handle(self, *, shards: int, dry_run: bool, reverse: bool, **options: Any) -> None:
        try:
            if problems := requirements.missing():
                raise CommandError("\n".join(["The tables cannot be distributed:", *problems]))
            workers = requirements.workers()
            self.stderr.write(f"{counted(len(workers), 'worker')}: {', '.join(workers)}", str)
            other = CommandError("Another process is distributing the tables of this database.")
            with session_lock(LOCK, if_held=other):
                todo = list(steps.steps_to_reverse() if reverse else steps.steps_to_distribute(shards))
                if not todo:
                    self.stderr.write("Nothing is left to do. verify_feedback compares the figures.", str)
                elif dry_run:
                    self.stdout.writelines(f"Would {step.text}\n" for step in todo)
                else:
                    self._run(todo, reverse=reverse)
        except Error as error:
            raise CommandError(f"Database error: {error}\nRun the command again to go on.") from error

    def _run(self, todo: list[ClusterStep], *, reverse: bool) -> None:
        for number, step in enumerate(todo, start=1):
            self.stderr.write(f"{number}/{len(todo)} {step.text[0].upper()}{step.text[1:]}", str)
            start = time.monotonic()
            steps.run(step)
            self.stderr.write(f"    {time.monotonic() - start:,.1f} s", str)
        steps.analyze()
        grant_reading(connections[DATABASE_ALIAS].settings_dict["USER"])
        record_command(Sale, "Brought the tables back to one server." if reverse else "Distributed the tables.")
        call_command("verify_feedback", stdout=self.stdout, stderr=self.stderr)
        self.stderr.write("Done. Restart the service, because its processes know the old tables.", str)


def shard_count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_SHARDS:
        raise ArgumentTypeError(f"must be a number from 1 to {MAX_SHARDS:,}, not {text!r}")
    return int(text)
