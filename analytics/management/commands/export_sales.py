import os
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from analytics.output.changes import WrittenChanges, read_position, write_changes, write_position
from analytics.output.formats import FORMATS, CannotEncode
from sales.changes.export import open_export
from sales.totals.archives import archived_months, archived_sentence
from salesengine.http.errors import PositionPurged
from salesengine.management.exit_codes import exit_codes
from salesengine.operations.progress import progress
from salesengine.plurals import counted

HELP = """\
examples:
  manage.py export_sales --since warehouse.position --to exports
  manage.py export_sales --since warehouse.position --to exports --format parquet --quiet

If FILE does not exist, all sales are exported. Otherwise only what has changed since the position in FILE: new sales,
and voids of sales. FILE is replaced when the export and its manifest are on disk. Each export is named after the
position from which it starts (0 for all sales) and its last one: load the exports in the order of their names. If
nothing has changed, nothing is written. An export of all sales lacks those that are archived, and its manifest names
their months.

exit codes: 0 success, 1 failure, 2 usage error, 130 interrupted, 143 SIGTERM, 129 SIGHUP
"""
FAILED, USAGE_ERROR = 1, 2
NAMES = ("csv", "ndjson", "parquet")


class Command(BaseCommand):
    help = "Export the sales and voids since the last export, for a warehouse."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = HELP
        parser.add_argument(
            "--since",
            metavar="FILE",
            type=Path,
            required=True,
            help="the file that has the position of the last export",
        )
        parser.add_argument("--to", metavar="DIR", type=Path, default=Path(), help="the folder of the exports")
        parser.add_argument("--format", choices=NAMES, default="csv", help="default: csv")
        parser.add_argument("--quiet", action="store_true", help="print nothing but errors")

    def handle(self, *, since: Path, to: Path, quiet: bool, **options: Any) -> None:
        export_format = FORMATS[options["format"]]
        with exit_codes(), _exit_codes(since):
            after = _position(since)
            with open_export(after) as export:
                months = archived_months() if after is None else []  # in the transaction that reads all sales
                if months:
                    sentence = archived_sentence(months)
                    self._say(quiet, f"Warning: {sentence}, so this export does not have them. Load their files too.")
                if after is not None and after > export.end:
                    raise CommandError(
                        f"{since} has the position {after}, but the last position is {export.end}. If the database was"
                        f" restored to an earlier time, delete {since} to export all sales again.",
                        returncode=FAILED,
                    )
                if after == export.end or not export.count:
                    self._say(quiet, "Nothing has changed since the last export." if after else "There are no sales.")
                    return
                file = to / f"sales-{after or 0:015d}-{export.end:015d}.{export_format.extension}"
                with _progress(quiet, export.count) as advance:
                    written = write_changes(export, after, [*map(str, months)], file, export_format, advance)
                write_position(since, export.end)
            self._say(quiet, _summary(written, file))

    def _say(self, quiet: bool, text: str) -> None:
        if not quiet:
            self.stderr.write(text, str)


def _position(since: Path) -> int | None:
    folder = since.parent
    if not (folder.is_dir() and os.access(folder, os.W_OK)):  # says so before the export, not after it
        raise CommandError(f"{since} cannot be written: {folder} is not a writable folder.", returncode=FAILED)
    try:
        return read_position(since)
    except ValueError as error:
        raise CommandError(str(error), returncode=USAGE_ERROR) from None


def _summary(written: WrittenChanges, file: Path) -> str:
    archived = f", and the ids of {counted(written.archived, 'archived sale')}" if written.archived else ""
    return f"Wrote {counted(written.sales, 'sale')} and {counted(written.voids, 'void')}{archived} to {file}."


def _progress(quiet: bool, count: int) -> AbstractContextManager[Callable[[int], object]]:
    return nullcontext(lambda rows: None) if quiet else progress("Changes", count)


@contextmanager
def _exit_codes(since: Path) -> Iterator[None]:
    """Raise CommandError with an exit code in place of other errors. After all of them, FILE is unchanged."""
    try:
        yield
    except PositionPurged:
        raise CommandError(
            f"Changes since the position in {since} were deleted already (LEDGER_RETENTION). Delete {since} to export"
            " all sales again.",
            returncode=FAILED,
        ) from None
    except CannotEncode as error:
        raise CommandError(str(error), returncode=FAILED) from None
    except Error as error:
        raise CommandError(f"Database error: {error}", returncode=FAILED) from None
