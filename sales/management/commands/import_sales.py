from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from django.core.management.base import BaseCommand, CommandError

from sales.importing.columns import ColumnMapping
from sales.importing.command_errors import translate_errors
from sales.importing.event_file import EventFile
from sales.importing.formats import FORMATS, detect_format, open_file
from sales.importing.importer import ImportOptions, ImportSummary, import_file
from sales.importing.sources import STDIN
from sales.ingest.dry_run import remembering
from sales.ingest.service import IngestOptions
from salesengine.exact_json import encode_json
from salesengine.management.arguments import input_file, sender_name
from salesengine.operations.progress import progress

HELP = """\
examples:
  manage.py import_sales sales.csv
  manage.py import_sales january.ndjson.gz february.parquet --on-error skip
  manage.py import_sales legacy.csv --map order_no=ID_ORDER --map remark= --dry-run
  zcat sales.csv.gz | manage.py import_sales - --format csv --json

columns:
  Columns are named after the fields of POST /ingest, in upper or lower case. --map renames a column, or drops it when
  no field is named. In CSV, an empty cell means that BRAND, CATEGORY or EVENT_ID is missing, and the last line must
  have a line break: without one, the file may be cut off. In Parquet, ids may be integers.

importing again:
  A file is imported once, even under another name. Run the command again after a failure, and it continues at the last
  checkpoint. When a file has grown, only its new lines are imported. A Parquet file that has changed counts as a new
  file; so does a CSV or NDJSON file whose imported lines have changed. A file that begins like an imported one but ends
  earlier is refused, because it may be cut off. --again imports a file once more on purpose: its events are stored a
  second time, except those with an EVENT_ID, which is stored once per sender. --sender names the sender of the events.

errors:
  Events are stored 5,000 lines at a time. With --on-error stop, an invalid event stops the import before its 5,000
  lines are stored: fix the file and run the command again. With --on-error skip, valid events are stored, and invalid
  ones are stored as rejected events in the back office. --dry-run checks the files and stores nothing; add --on-error
  skip to count all errors.

exit codes:
  0 everything was imported, 1 failed or stopped, 2 invalid arguments, 3 imported except for rejected events,
  130 interrupted, 143 SIGTERM, 129 SIGHUP
"""
# The activity, what is stored after a failure, and the prefix of the summary.
IMPORT = ("Importing", "Everything before that is stored. Run the command again to continue from there.", "")
DRY_RUN = ("Checking", "Nothing is stored.", "Dry run, nothing stored: ")


class FileToImport(NamedTuple):
    """A file named on the command line, with what `open_file` and `import_file` need to know."""

    file: str
    file_format: str
    columns: ColumnMapping
    delimiter: str
    options: ImportOptions


class Command(BaseCommand):
    help = "Import sales events from CSV, NDJSON and Parquet files. CSV and NDJSON may be compressed with gzip."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = HELP
        parser.add_argument(
            "files", type=input_file, metavar="FILE", nargs="+", help='file to import; "-" is standard input'
        )
        parser.add_argument("--format", choices=FORMATS, help="default: taken from the file's name; required for -")
        parser.add_argument(
            "--sender", type=sender_name, default="files", metavar="NAME", help="sender of the events (default: files)"
        )
        parser.add_argument("--map", action="append", default=[], metavar="THEIRS=OURS", help="rename or drop a column")
        parser.add_argument(
            "--delimiter",
            default="",
            metavar="CHARACTER",
            help='delimiter of CSV, or "tab" (default: the comma, semicolon or tab that the first line has most)',
        )
        parser.add_argument(
            "--on-error",
            choices=("stop", "skip"),
            default="stop",
            help="what to do with invalid events (default: stop)",
        )
        parser.add_argument("--dry-run", action="store_true", help="check everything, store nothing")
        parser.add_argument("--again", action="store_true", help="import files again that were imported earlier")
        parser.add_argument("--json", action="store_true", help="write a summary as JSON to standard output")

    def handle(self, *, files: Sequence[str], dry_run: bool, json: bool, **options: Any) -> None:
        files_to_import = _parse_arguments(files, dry_run=dry_run, **options)
        summaries: list[ImportSummary] = []
        failure = ""
        try:
            with ExitStack() as stack:
                opened = [_open(stack, file) for file in files_to_import]
                if dry_run:
                    stack.enter_context(remembering())
                for file, import_options in opened:
                    self._import(file, import_options, summaries)
        except CommandError as error:
            failure = str(error)
            raise
        except SystemExit:  # manage.py has received SIGTERM or SIGHUP
            failure = f"Terminated. {(DRY_RUN if dry_run else IMPORT)[1]}"
            raise
        finally:
            if json:
                self._write(_as_json(summaries, dry_run, failure), failure)
        if any(summary.rejected for summary in summaries):
            outcome = "would be rejected" if dry_run else "were rejected. They are in the back office"
            raise CommandError(f"Some events {outcome}.", returncode=3)

    def _write(self, summary: str, failure: str) -> None:
        try:
            self.stdout.write(summary)
            self.stdout.flush()
        except OSError as error:
            message = f"Standard output cannot be written: {error.strerror}"
            raise CommandError(f"{failure}\n{message}".strip()) from None

    def _import(self, file: EventFile, options: ImportOptions, summaries: list[ImportSummary]) -> None:
        summary = ImportSummary(file.name, file.unit)
        summaries.append(summary)
        activity, on_failure, prefix = DRY_RUN if options.ingest.dry_run else IMPORT
        try:
            with (
                translate_errors(file.name, on_failure, file.unit),
                progress(f"{activity} {file.name}, {file.total_unit}", file.total) as advance,
            ):
                import_file(file, options, summary, advance)
        finally:
            self.stderr.write(f"{prefix}{summary}", str)


def _parse_arguments(
    files: Sequence[str],
    *,
    map: Sequence[str],  # noqa: A002  # the option's name
    delimiter: str,
    **options: Any,
) -> list[FileToImport]:
    """Return the files to import. Raises CommandError with exit code 2 for invalid arguments."""
    try:
        columns = ColumnMapping(map)
    except ValueError as error:
        raise CommandError(f"--map: {error}.", returncode=2) from None
    delimiter = "\t" if delimiter == "tab" else delimiter
    if len(delimiter) > 1 or (delimiter and delimiter in '"\r\n'):
        raise CommandError("--delimiter must be one character, or tab.", returncode=2)
    if files.count(STDIN) > 1:
        raise CommandError("Standard input can be imported only once.", returncode=2)
    dry_run = options["dry_run"]
    ingest_options = IngestOptions(skip=options["on_error"] == "skip", dry_run=dry_run, remember=dry_run)
    files_to_import = []
    for file in files:
        file_format = options["format"] or detect_format(file)
        if file_format is None:
            raise CommandError(f"The name {file} does not imply a format. Add --format.", returncode=2)
        import_options = ImportOptions(options["sender"], ingest_options, options["again"])
        files_to_import.append(FileToImport(file, file_format, columns, delimiter, import_options))
    return files_to_import


def _open(stack: ExitStack, file: FileToImport) -> tuple[EventFile, ImportOptions]:
    """Return the open file, and the options completed by what its first line says."""
    with translate_errors(file.file, "Nothing is stored."):
        opened = stack.enter_context(open_file(file.file, file.file_format, file.columns, file.delimiter))
    return opened, replace(
        file.options,
        format_and_columns=f"{opened.kind} {file.columns.applied(opened.column_names)}",
        with_all_mappings=f"{opened.kind} {file.columns}",
    )


def _as_json(summaries: Sequence[ImportSummary], dry_run: bool, failure: str) -> str:
    content: dict[str, Any] = {"dry_run": dry_run, "error": failure or None}
    for name in ("accepted", "duplicate", "rejected"):
        content[name] = sum(getattr(summary, name) for summary in summaries)
    return encode_json(content | {"files": [asdict(summary) for summary in summaries]}).decode()
