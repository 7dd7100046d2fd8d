import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError

from analytics.definitions.parameters import BoundParameters, InvalidParametersError
from analytics.definitions.reports import (
    InvalidReportError,
    ReportDefinition,
    UnknownReportError,
    folder_error,
    get_report,
    invalid_reports,
    load_reports,
)
from analytics.models import Channel
from analytics.output.atomic_write import atomic_write
from analytics.output.exports import manifest, write_export
from analytics.output.formats import FORMATS, CannotEncode, Format, Rows
from analytics.running.errors import AssertionFailed, ReportFailed, TimedOut
from analytics.running.rows import ResultColumn, RowRange
from analytics.running.run_log import Caller, Run, logged_run
from analytics.running.runner import explain, result_columns
from salesengine.accounts.audit_log import system_user
from salesengine.management.arguments import positive_number
from salesengine.management.streams import is_output_closed
from salesengine.operations.durations import parse_duration
from salesengine.operations.progress import progress
from salesengine.plurals import counted

EXAMPLES = """\
examples:
  manage.py run_report --list
  manage.py run_report country_contribution --describe
  manage.py run_report country_contribution
  manage.py run_report country_contribution --param start=2021-01-01 --param end=2021-01-31 --format csv | head
  manage.py run_report country_contribution --param "start=first day of last month" --output shares.parquet --manifest
  manage.py run_report country_contribution --format csv --output - --quiet --fail-on-empty > shares.csv

Data goes to standard output, everything else to standard error. With --output, the command replaces FILE and
FILE.manifest.json when the report is complete, and leaves them unchanged if it fails. All formats except xlsx are
streamed, so memory does not limit the number of rows. The admin shows each run in its log of runs.

exit codes: 0 success, 1 failure, 2 usage error, unknown report or invalid parameter, 3 no rows (with --fail-on-empty),
4 an assertion of the report failed, 5 timeout, 130 interrupted, 143 SIGTERM, 129 SIGHUP
"""

FAILED, USAGE_ERROR, EMPTY, FAILED_ASSERTION, TIMED_OUT, INTERRUPTED = 1, 2, 3, 4, 5, 130
EXIT_CODES: dict[type[Exception], int] = {
    UnknownReportError: USAGE_ERROR,
    InvalidParametersError: USAGE_ERROR,
    AssertionFailed: FAILED_ASSERTION,
    TimedOut: TIMED_OUT,
    InvalidReportError: FAILED,
    ReportFailed: FAILED,
    CannotEncode: FAILED,
}
STANDARD_OUTPUT = Path("-")
EXTENSIONS = {f".{each.extension}": each.name for each in FORMATS.values()} | {".jsonl": "ndjson"}

Write = Callable[[bytes], object]


class Command(BaseCommand):
    help = "Run a report, which is one of the files in sql/, and write its result."
    requires_system_checks = ()  # an invalid report file must not stop the other reports

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        parser.add_argument("name", metavar="NAME", nargs="?", help="the name of the report")
        parser.add_argument(
            "--param",
            action="append",
            default=[],
            type=_parameter,
            metavar="NAME=VALUE",
            help="set a parameter; a missing parameter has its default, and NAME= means no value",
        )
        parser.add_argument(
            "--format", choices=FORMATS, help="default: from the extension of FILE; on standard output table"
        )
        parser.add_argument(
            "--output", metavar="FILE", type=Path, default=STANDARD_OUTPUT, help="default: - (standard output)"
        )
        parser.add_argument(
            "--manifest", action="store_true", help="also write FILE.manifest.json: rows, bytes, SHA-256 and more"
        )
        parser.add_argument("--limit", type=positive_number, metavar="ROWS", help="the maximum number of rows to write")
        parser.add_argument(
            "--timeout", type=parse_duration, metavar="TIME", help="such as 30s or 5m; default: the report's own"
        )
        parser.add_argument("--fail-on-empty", action="store_true", help="exit with 3 if there are no rows")
        parser.add_argument(
            "--safe-cells", action="store_true", help="stop spreadsheets from running text as formulas (csv, markdown)"
        )
        parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
        instead = parser.add_argument_group("instead of a run").add_mutually_exclusive_group()
        instead.add_argument("--list", action="store_true", help="list all reports")
        instead.add_argument("--describe", action="store_true", help="describe the report and its parameters")
        instead.add_argument("--explain", action="store_true", help="show PostgreSQL's plan")
        instead.add_argument("--dry-run", action="store_true", help="check the parameters and the SQL, and run nothing")

    def handle(self, *, name: str | None, **options: Any) -> None:
        with _exit_codes(options["output"]):
            if options["output"] == STANDARD_OUTPUT and is_output_closed():
                raise CommandError("Standard output is closed. Use --output.", returncode=USAGE_ERROR)
            if message := folder_error():
                raise CommandError(message, returncode=FAILED)
            if options["list"]:
                self._list(options)
            elif name is None:
                raise CommandError("The name of a report is missing. --list shows all names.", returncode=USAGE_ERROR)
            else:
                self._handle_report(get_report(name), options)

    def _handle_report(self, report: ReportDefinition, options: dict[str, Any]) -> None:
        if options["describe"]:
            self._describe(report, options)
            return
        bound = report.parse(_distinct(options["param"]))
        if options["explain"]:
            plan = explain(report, bound)
            with self._destination(options["output"]) as write:
                write(f"{plan}\n".encode())
        elif options["dry_run"]:
            columns = ", ".join(column.name for column in result_columns(report, bound))
            values = ", ".join(f"{name}={text}" for name, text in bound.texts.items()) or "no parameters"
            if not options["quiet"]:
                self.stderr.write(f"Would run {report.name} with {values}. Its columns are {columns}.", str)
        else:
            self._run(report, bound, options)

    def _run(self, report: ReportDefinition, bound: BoundParameters, options: dict[str, Any]) -> None:
        output, output_format = options["output"], _output_format(options)
        if options["manifest"] and output == STANDARD_OUTPUT:
            raise CommandError("--manifest needs a file. Name it with --output.", returncode=USAGE_ERROR)
        if options["manifest"] and output.name.encode(errors="ignore").decode() != output.name:
            raise CommandError("--manifest needs a file whose name is UTF-8.", returncode=USAGE_ERROR)
        seconds = options["timeout"].total_seconds() if options["timeout"] else None
        caller, row_range = Caller(Channel.COMMAND, system_user()), RowRange(limit=options["limit"])
        # Open both files first: then a file that cannot be written is an error before the report runs.
        with self._manifest(output, options) as manifest_file, self._destination(output) as write:
            with (
                logged_run(
                    report, bound, caller, format=output_format.name, row_range=row_range, timeout=seconds
                ) as run,
                self._progress(options) as advance,
            ):
                sha256 = write_export(
                    run, output_format, write, title=report.title, safe_cells=options["safe_cells"], advance=advance
                )
            if options["fail_on_empty"] and not run.result.row_count:
                raise CommandError(f"{report.name} has no rows.", returncode=EMPTY)
            if manifest_file:
                manifest_file.write(
                    manifest(report, bound, run, format_name=output_format.name, sha256=sha256, file=output.name)
                )
        if not options["quiet"]:
            self._summarize(run, output)

    def _summarize(self, run: Run, output: Path) -> None:
        result = run.result
        for warning in result.warnings:
            self.stderr.write(f"Warning: {warning}", self.style.WARNING)
        if result.is_truncated:
            self.stderr.write(f"The result is truncated to the {counted(result.row_count, 'row')} of --limit.", str)
        if output != STANDARD_OUTPUT:
            self.stderr.write(
                f"Wrote {counted(result.row_count, 'row')}, {counted(run.bytes or 0, 'byte')}, to {output}.", str
            )

    def _progress(self, options: dict[str, Any]) -> AbstractContextManager[Callable[[int], object]]:
        """Show the number of rows written, unless the rows appear on the same terminal."""
        if options["quiet"] or (options["output"] == STANDARD_OUTPUT and sys.stdout.isatty()):
            return nullcontext(lambda rows: None)
        return progress("Rows", options["limit"])

    def _manifest(self, output: Path, options: dict[str, Any]) -> AbstractContextManager[BinaryIO | None]:
        return atomic_write(output.with_name(f"{output.name}.manifest.json")) if options["manifest"] else nullcontext()

    @contextmanager
    def _destination(self, output: Path) -> Iterator[Write]:
        if output == STANDARD_OUTPUT:
            yield self._write
            self.stdout.flush()
        else:
            with atomic_write(output) as file:
                yield file.write

    def _write(self, data: bytes) -> None:
        buffer = getattr(sys.stdout, "buffer", None)
        if buffer is not None and self.stdout._out is sys.stdout:
            buffer.write(data)
        else:
            self.stdout.write(data.decode(), ending="")

    def _list(self, options: dict[str, Any]) -> None:
        """List the reports. Errors of invalid files go to standard error."""
        for error in invalid_reports():
            self.stderr.write(f"Invalid: {error}")
        rows = [(report.name, report.header.topic, report.title) for report in load_reports()]
        self._show(["name", "topic", "title"], rows, options)

    def _describe(self, report: ReportDefinition, options: dict[str, Any]) -> None:
        rows = [
            (name, each.type, "yes" if each.required else "no", each.default_text, ", ".join(each.choices), each.help)
            for name, each in report.parameters.items()
        ]
        title = f"{report.title}\n\n{report.description}\n"
        self._show(["parameter", "type", "required", "default", "choices", "help"], rows, options, title)

    def _show(self, names: list[str], rows: list[tuple[Any, ...]], options: dict[str, Any], title: str = "") -> None:
        """Write a table. In text for people, a title precedes it, and a title without rows is enough."""
        output_format = _output_format(options)
        has_title = bool(title) and output_format.is_text and output_format.is_for_people
        with self._destination(options["output"]) as write:
            if has_title:
                write(title.encode())
            if rows or not has_title:
                write(b"\n" * has_title)
                columns = [ResultColumn(name, "text") for name in names]
                for chunk in output_format.encode(Rows(columns, iter(rows))):
                    write(chunk)


@contextmanager
def _exit_codes(output: Path) -> Iterator[None]:
    """Raise CommandError with an exit code in place of other errors."""
    try:
        yield
    except tuple(EXIT_CODES) as error:
        code = next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
        raise CommandError(str(error), returncode=code) from None
    except KeyboardInterrupt:
        raise CommandError("Interrupted.", returncode=INTERRUPTED) from None
    except BrokenPipeError:
        pass  # the reader has seen enough
    except OSError as error:
        file = error.filename or ("Standard output" if output == STANDARD_OUTPUT else output)
        raise CommandError(f"{file} cannot be written: {error.strerror}", returncode=FAILED) from None


def _output_format(options: dict[str, Any]) -> Format:
    """Return the format of --format, or else that of the extension of --output. On standard output it is a table.

    Raises CommandError for another extension, and for a format that is not for terminals.
    """
    output = options["output"]
    name = options["format"] or ("table" if output == STANDARD_OUTPUT else EXTENSIONS.get(output.suffix.lower()))
    if name is None:
        raise CommandError(f"The name {output} does not imply a format. Add --format.", returncode=USAGE_ERROR)
    chosen = FORMATS[name]
    if not chosen.is_text and output == STANDARD_OUTPUT and sys.stdout.isatty():
        raise CommandError(f"{chosen.name} is not for terminals. Use --output.", returncode=USAGE_ERROR)
    return chosen


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return name, value


def _distinct(parameters: list[tuple[str, str]]) -> dict[str, str]:
    """Return the parameters by name. Raises InvalidParametersError for a repeated one."""
    names = [name for name, _ in parameters]
    if repeated := {name: "must be given once" for name in names if names.count(name) > 1}:
        raise InvalidParametersError(repeated)
    return dict(parameters)
