from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from sales.importing.columns import Columns
from sales.importing.event_file import EventFile
from sales.importing.formats import FORMS, form_of, open_file
from sales.importing.importer import ImportOptions, ImportSummary, import_file
from sales.importing.sources import STDIN, ImportFileError
from sales.ingest.service import IngestOptions, dry_run_transaction
from salesengine.http.errors import InvalidInput
from salesengine.http.renderers import encode_json
from salesengine.operations.progress import progress

EXAMPLES = """\
examples:
  manage.py import_sales sales.csv
  manage.py import_sales january.ndjson.gz february.parquet --on-error skip
  manage.py import_sales legacy.csv --map order_no=ID_ORDER --map remark= --dry-run
  zcat sales.csv.gz | manage.py import_sales - --format csv --json

An event has the fields of POST /ingest. Columns may be called in upper or lower case; --map tells of other names, and
drops a column by naming no field. An empty cell of CSV is no BRAND, CATEGORY or EVENT_ID. In Parquet the ids may be
whole numbers too.

Started again with the same file, whatever it is called, an import goes on where it was, and one that was finished has
nothing to do; of a file that has grown it takes the rest. A Parquet file that was changed is another file, and so is a
text that was changed before the place. --again imports once more on purpose: everything is stored a second time,
but for events with an EVENT_ID. An EVENT_ID is stored once for each sender; --sender says whose events these are.

Events are taken 5,000 lines at a time. With --on-error stop, a bad one stops the import before its 5,000: mend the file
and start again. With --on-error skip the bad ones are kept apart, in the back office, and the others stored.
--dry-run does the same and leaves nothing behind; with --on-error skip it finds every mistake.

exit codes: 0 all is taken, 1 failed or stopped, 2 wrong call, 3 all is taken but for rejected events, 130 interrupted
"""
MAX_LISTED = 20
# What is said while it runs, when it ends early, and before the figures.
DONE = ("Importing", "What was taken before is stored; started again, the import goes on after it.", "")
REHEARSED = ("Checking", "Nothing is stored.", "Dry run, nothing stored: ")


class Command(BaseCommand):
    help = "Import files of sale events: CSV, NDJSON, both plain or packed by gzip, and Parquet."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        parser.add_argument("files", metavar="FILE", nargs="+", help="- is standard input")
        parser.add_argument("--format", choices=FORMS, help="where the name does not tell; - needs it")
        parser.add_argument("--sender", default="files", metavar="NAME", help="whose events they are (default: files)")
        parser.add_argument("--map", action="append", default=[], metavar="THEIRS=OURS", help="rename or drop a column")
        parser.add_argument("--delimiter", default=",", metavar="CHARACTER", help="of CSV (default: a comma), or tab")
        parser.add_argument("--on-error", choices=("stop", "skip"), default="stop", help="default: stop")
        parser.add_argument("--dry-run", action="store_true", help="check everything, store nothing")
        parser.add_argument("--again", action="store_true", help="import also what was imported before")
        parser.add_argument("--json", action="store_true", help="write a summary to standard output, as JSON")

    def handle(self, *, files: Sequence[str], dry_run: bool, json: bool, **options: Any) -> None:
        calls = _calls(files, dry_run=dry_run, **options)
        outcomes: list[ImportSummary] = []
        failure = ""
        try:
            with ExitStack() as stack:
                opened = [(_open(stack, *call), how) for call, how in calls]
                stack.enter_context(dry_run_transaction(dry_run))
                for file, how in opened:
                    self._import(file, how, outcomes)
        except CommandError as error:
            failure = str(error)
            raise
        finally:
            if json:
                self.stdout.write(_as_json(outcomes, dry_run, failure))
        if any(outcome.rejected for outcome in outcomes):
            where = "would be rejected" if dry_run else "were rejected, and are kept in the back office"
            raise CommandError(f"Some events {where}.", returncode=3)

    def _import(self, file: EventFile, how: ImportOptions, outcomes: list[ImportSummary]) -> None:
        outcome = ImportSummary(file.name, file.unit)
        outcomes.append(outcome)
        doing, after, note = REHEARSED if how.options.dry_run else DONE
        try:
            with (
                _in_plain_words(file.name, after, file.unit),
                progress(f"{doing} {file.name}, {file.counts}", file.total) as advance,
            ):
                import_file(file, how, outcome, advance)
        finally:
            self.stderr.write(f"{note}{outcome}", str)


Call = tuple[str, str, Columns, str]  # of open_file


def _calls(
    files: Sequence[str],
    *,
    map: Sequence[str],  # noqa: A002  # the option's name
    delimiter: str,
    **options: Any,
) -> list[tuple[Call, ImportOptions]]:
    """What is to be opened, and how it is imported. Raises CommandError for a wrong call."""
    try:
        columns = Columns(map)
    except ValueError as error:
        raise CommandError(f"--map: {error}.", returncode=2) from None
    delimiter = "\t" if delimiter == "tab" else delimiter
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise CommandError("--delimiter must be one character, or tab.", returncode=2)
    if files.count(STDIN) > 1:
        raise CommandError("Standard input can be read once.", returncode=2)
    calls: list[tuple[Call, ImportOptions]] = []
    for file in files:
        form = _form(file, options["format"])
        reading = f"{form} {delimiter if form == 'csv' else ''} {columns}"
        ingest_options = IngestOptions(skip=options["on_error"] == "skip", dry_run=options["dry_run"])
        how = ImportOptions(options["sender"], reading, ingest_options, options["again"])
        calls.append(((file, form, columns, delimiter), how))
    return calls


def _form(file: str, given: str | None) -> str:
    form = given or form_of(file)
    if form is None:
        raise CommandError(f"The name {file} does not tell the form; --format does.", returncode=2)
    return form


def _open(stack: ExitStack, file: str, form: str, columns: Columns, delimiter: str) -> EventFile:
    with _in_plain_words(file, "Nothing is stored."):
        return stack.enter_context(open_file(file, form, columns, delimiter))


@contextmanager
def _in_plain_words(file: str, after: str, unit: str = "line") -> Iterator[None]:
    """Raises CommandError for what may go wrong with a file; `after` is what is said of what was done until then."""
    try:
        yield
    except ImportFileError as error:
        raise CommandError(f"{file} {error}.") from None
    except InvalidInput as error:
        raise CommandError(f"{file}: stopped by {_mistakes(error, unit)}\n{after}") from None
    except Error as error:
        raise CommandError(f"{file}: the database failed: {error}\n{after}") from None
    except KeyboardInterrupt:
        raise CommandError(f"Interrupted. {after}", returncode=130) from None


def _mistakes(error: InvalidInput, unit: str) -> str:
    count = error.error_count
    listed = []
    for each in error.errors[:MAX_LISTED]:
        field = str(each["pointer"]).removeprefix("/")
        listed.append(f"  {unit} {each['line']}: {field} {each['detail']}".replace(":  ", ": "))
    if count > MAX_LISTED:
        listed.append(f"  and {count - MAX_LISTED:,} more")
    return "\n".join([f"{count:,} mistake{'' if count == 1 else 's'}:", *listed])


def _as_json(outcomes: Sequence[ImportSummary], dry_run: bool, failure: str) -> str:
    summary: dict[str, Any] = {"dry_run": dry_run, "error": failure or None}
    for what in ("accepted", "duplicate", "rejected"):
        summary[what] = sum(getattr(outcome, what) for outcome in outcomes)
    return encode_json(summary | {"files": [asdict(outcome) for outcome in outcomes]}).decode()
