from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from sales.corrections.schema import COLUMNS, REQUIRED_COLUMNS, from_row, read_corrections
from sales.corrections.voiding import Corrector, check_corrections, correct_sales
from sales.importing.columns import ColumnMapping
from sales.importing.command_errors import translate_errors
from sales.importing.formats import detect_format, open_file
from sales.importing.sources import ImportFileError
from sales.ingest.batches import Batch
from sales.models import VoidedSale
from sales.totals.ledger import Origin
from salesengine.accounts.audit_log import record_command, system_user
from salesengine.management.arguments import input_file, sender_name
from salesengine.plurals import counted

HELP = """\
examples:
  manage.py correct_sales corrections.csv --dry-run
  manage.py correct_sales corrections.ndjson --sender "web shop"

columns:
  ID          the ID of the wrong sale, or else EVENT_ID: the one that --sender gave to it
  ACTION      void: the sale never happened; replace: the row also has the fields of the sale that is right
  REASON      why the sale was wrong
  Lines of NDJSON may also be objects as in POST /corrections. --map renames a column, or drops it when no field is
  named. In CSV, the last line must have a line break: without one, the file may be cut off.

errors:
  All corrections of the file are made, or none. A sale that was voided before is an error, so a file cannot be applied
  twice.

exit codes:
  0 everything was corrected, 1 failed, 2 invalid arguments, 130 interrupted, 143 SIGTERM, 129 SIGHUP
"""
NOTHING = "Nothing was changed."


class Command(BaseCommand):
    help = "Void and replace sales from a CSV or NDJSON file, which may be compressed with gzip."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = HELP
        parser.add_argument(
            "file", type=input_file, metavar="FILE", help='file with corrections; "-" is standard input'
        )
        parser.add_argument(
            "--format", choices=("csv", "ndjson"), help="default: taken from the file's name; required for -"
        )
        parser.add_argument(
            "--sender",
            type=sender_name,
            default="files",
            metavar="NAME",
            help="sender whose EVENT_IDs are meant (default: files)",
        )
        parser.add_argument("--map", action="append", default=[], metavar="THEIRS=OURS", help="rename or drop a column")
        parser.add_argument("--dry-run", action="store_true", help="check everything, change nothing")

    def handle(self, *, file: str, sender: str, dry_run: bool, **options: Any) -> None:
        file_format = options["format"] or detect_format(file)
        if file_format not in {"csv", "ndjson"}:
            raise CommandError(f"The name {file} does not imply CSV or NDJSON. Add --format.", returncode=2)
        try:
            columns = ColumnMapping(options["map"], fields=COLUMNS, required=REQUIRED_COLUMNS, thing="a correction")
        except ValueError as error:
            raise CommandError(f"--map: {error}.", returncode=2) from None
        with translate_errors(file, NOTHING):
            source, batch = _read(file, file_format, columns)
            corrections = read_corrections(batch)
            corrector = Corrector(f"command line: {system_user()}", Origin(sender, source), own_only=False)
            summary = _summary(file, [correction["action"] for correction in corrections])
            if dry_run:
                check_corrections(batch, corrections, corrector)
                self.stderr.write(f"Dry run, nothing changed: {summary}", str)
                return
            correct_sales(batch, corrections, corrector)
        if corrections:
            record_command(VoidedSale, f"{summary}.")
        self.stderr.write(summary, str)


def _read(file: str, file_format: str, columns: ColumnMapping) -> tuple[str, Batch]:
    """Return the name of a file and all of its corrections. Raises ImportFileError."""
    values: list[Any] = []
    lines: list[int] = []
    with open_file(file, file_format, columns) as opened:
        for batch in opened.batches(opened.latest_checkpoint([])):
            values += map(from_row, batch.content.values)
            lines += batch.content.lines or []
            if len(values) > settings.INGEST_MAX_EVENTS:
                raise ImportFileError(
                    f"has more than {counted(settings.INGEST_MAX_EVENTS, 'correction')}, which is too many for one "
                    "transaction. Split the file"
                )
        return opened.name, Batch(values, list, lines=lines)


def _summary(file: str, actions: Sequence[str]) -> str:
    return f"{file}: {actions.count('void'):,} voided, {actions.count('replace'):,} replaced"
