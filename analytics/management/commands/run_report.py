import getpass
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from analytics.definitions.parameters import BoundParameters, InvalidParametersError
from analytics.definitions.reports import (
    InvalidReportError,
    ReportDefinition,
    UnknownReportError,
    get_report,
    invalid_reports,
    load_reports,
)
from analytics.models import Channel
from analytics.output.atomic_write import atomic_write
from analytics.output.exports import Export, manifest, write_export
from analytics.output.formats import FORMATS, CannotEncode, Format, Rows
from analytics.running.errors import AssertionFailed, ReportFailed, TimedOut
from analytics.running.rows import ResultColumn, RowRange
from analytics.running.run_log import Caller, Run, logged_run
from analytics.running.runner import describe, explain
from salesengine.operations.durations import parse_duration
from salesengine.operations.progress import progress

EXAMPLES = """\
examples:
  manage.py run_report --list
  manage.py run_report country_contribution --describe
  manage.py run_report country_contribution
  manage.py run_report country_contribution --param start=2021-01-01 --param end=2021-01-31 --format csv | head
  manage.py run_report country_contribution --param "start=first day of last month" --output shares.parquet --manifest
  manage.py run_report country_contribution --format csv --output - --quiet --fail-on-empty > shares.csv

Only data goes to standard output; everything else goes to standard error. --output replaces FILE when the report is
complete, and leaves it as it was otherwise; so it does with FILE.manifest.json. Every format but xlsx is written as
rows arrive, however many there are. What runs is in the log of runs, which the admin shows.

exit codes: 0 good, 1 failed, 2 wrong call (an unknown report or a bad parameter, too), 3 no rows and --fail-on-empty,
4 the result failed an assertion of the report, 5 took too long, 130 interrupted
"""

FAILED, WRONG_CALL, EMPTY, FAILED_ASSERTION, TIMED_OUT, INTERRUPTED = 1, 2, 3, 4, 5, 130
STANDARD_OUTPUT = Path("-")

Write = Callable[[bytes], object]


class Command(BaseCommand):
    help = "Run a report, one of the files in sql/, and write its result."
    requires_system_checks = ()  # a bad report file must not keep the others from running

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        parser.add_argument("name", metavar="NAME", nargs="?", help="the report")
        parser.add_argument(
            "--param",
            action="append",
            default=[],
            type=_parameter,
            metavar="NAME=VALUE",
            help="the value of a parameter; one that is left out has its default, NAME= has no value",
        )
        parser.add_argument(
            "--format", choices=FORMATS, help="default: what the name of the output ends in, else table"
        )
        parser.add_argument(
            "--output", metavar="FILE", type=Path, default=STANDARD_OUTPUT, help="default: -, standard output"
        )
        parser.add_argument("--manifest", action="store_true", help="write FILE.manifest.json: rows, SHA-256 and so on")
        parser.add_argument("--limit", type=_positive, metavar="ROWS", help="write no more rows than that")
        parser.add_argument("--timeout", type=parse_duration, metavar="TIME", help="such as 30s or 5m")
        parser.add_argument("--fail-on-empty", action="store_true", help="exit with 3 when there are no rows")
        parser.add_argument("--safe-cells", action="store_true", help="keep spreadsheets from taking text for formulas")
        parser.add_argument("--quiet", action="store_true", help="say nothing but what went wrong")
        instead = parser.add_argument_group("instead of a run").add_mutually_exclusive_group()
        instead.add_argument("--list", action="store_true", help="list the reports there are")
        instead.add_argument(
            "--describe", action="store_true", help="say what the report is and which parameters it has"
        )
        instead.add_argument("--explain", action="store_true", help="show PostgreSQL's plan")
        instead.add_argument("--dry-run", action="store_true", help="check the call and the SQL, and run nothing")

    def handle(self, *, name: str | None, **options: Any) -> None:
        if options["output"] == STANDARD_OUTPUT and sys.stdout is None:
            raise CommandError("Standard output is closed: use --output.", returncode=WRONG_CALL)
        try:
            if options["list"]:
                self._list(options)
            elif name is None:
                raise CommandError("Which report? --list shows them.", returncode=WRONG_CALL)
            else:
                self._handle_report(get_report(name), options)
        except (UnknownReportError, InvalidParametersError) as error:
            raise CommandError(str(error), returncode=WRONG_CALL) from None
        except AssertionFailed as error:
            raise CommandError(str(error), returncode=FAILED_ASSERTION) from None
        except TimedOut as error:
            raise CommandError(str(error), returncode=TIMED_OUT) from None
        except (InvalidReportError, ReportFailed, CannotEncode) as error:
            raise CommandError(str(error), returncode=FAILED) from None
        except KeyboardInterrupt:
            raise CommandError("Interrupted.", returncode=INTERRUPTED) from None
        except BrokenPipeError:
            # Whoever reads has seen enough. Python's own last flush should not complain about it either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            written = "Standard output" if options["output"] == STANDARD_OUTPUT else options["output"]
            raise CommandError(
                f"{error.filename or written} cannot be written: {error.strerror}", returncode=FAILED
            ) from None

    def _handle_report(self, report: ReportDefinition, options: dict[str, Any]) -> None:
        if options["describe"]:
            self._describe(report, options)
            return
        given = report.parse(_distinct(options["param"]))
        if options["explain"]:
            self.stdout.write(explain(report, given))
        elif options["dry_run"]:
            columns = ", ".join(column.name for column in describe(report, given))
            values = ", ".join(f"{name}={text}" for name, text in given.texts.items()) or "no parameters"
            self.stderr.write(f"Would run {report.name} with {values}; it gives the columns {columns}.", str)
        else:
            self._run(report, given, options)

    def _run(self, report: ReportDefinition, given: BoundParameters, options: dict[str, Any]) -> None:
        output, form = options["output"], _format(options)
        if options["manifest"] and output == STANDARD_OUTPUT:
            raise CommandError("--manifest is of a file: name one with --output.", returncode=WRONG_CALL)
        if not form.is_text and output == STANDARD_OUTPUT and sys.stdout.isatty():
            raise CommandError(f"{form.name} is not for a terminal: use --output.", returncode=WRONG_CALL)
        caller = Caller(Channel.COMMAND, _user())
        timeout: timedelta | None = options["timeout"]
        part, seconds = RowRange(limit=options["limit"]), timeout.total_seconds() if timeout else None
        # What cannot be written is known before anything is run, and the manifest appears after its file.
        with self._manifest(output, options) as write_manifest, self._destination(output) as write:
            with (
                logged_run(report, given, caller, format=form.name, row_range=part, timeout=seconds) as run,
                self._progress(output, options) as advance,
            ):
                export = write_export(
                    run, form, write, title=report.title, safe_cells=options["safe_cells"], advance=advance
                )
            if options["fail_on_empty"] and not export.rows:
                raise CommandError(f"{report.name} has no rows.", returncode=EMPTY)
            write_manifest(manifest(report, given, run, export, output.name))
        if not options["quiet"]:
            self._tell(run, export, output)

    def _tell(self, run: Run, export: Export, output: Path) -> None:
        for assertion in run.result.failed_assertions:
            self.stderr.write(f"Warning: {assertion.failure_message}", self.style.WARNING)
        if export.is_truncated:
            self.stderr.write(f"There are more rows than the {export.rows:,} of --limit.", str)
        if output != STANDARD_OUTPUT:
            self.stderr.write(f"Wrote {export.rows:,} rows, {export.bytes:,} bytes, to {output}.", str)

    @contextmanager
    def _progress(self, output: Path, options: dict[str, Any]) -> Iterator[Callable[[int], object]]:
        """Shows how many rows are done, unless they are themselves shown on the same terminal."""
        if options["quiet"] or (output == STANDARD_OUTPUT and sys.stdout.isatty()):
            yield lambda rows: None
        else:
            with progress("Rows", options["limit"]) as advance:
                yield advance

    @contextmanager
    def _manifest(self, output: Path, options: dict[str, Any]) -> Iterator[Write]:
        if not options["manifest"]:
            yield lambda data: None
        else:
            with atomic_write(output.with_name(f"{output.name}.manifest.json")) as file:
                yield file.write

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
        """The reports there are; the files that should be reports and are not go to standard error."""
        for bad in invalid_reports():
            self.stderr.write(f"Left out: {bad}")
        rows = [(report.name, report.header.topic, report.title) for report in load_reports()]
        self._show(["name", "topic", "title"], rows, options)

    def _describe(self, report: ReportDefinition, options: dict[str, Any]) -> None:
        form = _format(options)
        if form.is_for_people:
            self.stdout.write(f"{report.title}\n\n{report.description}\n")
        rows = [
            (name, each.type, "yes" if each.required else "no", each.default_text, ", ".join(each.choices), each.help)
            for name, each in report.parameters.items()
        ]
        if rows or not form.is_for_people:
            self._show(["parameter", "type", "required", "default", "choices", "help"], rows, options)

    def _show(self, names: list[str], rows: list[tuple[Any, ...]], options: dict[str, Any]) -> None:
        with self._destination(options["output"]) as write:
            for piece in _format(options).encode(Rows([ResultColumn(name, "text") for name in names], iter(rows))):
                write(piece)


def _format(options: dict[str, Any]) -> Format:
    """The format asked for, or that of the output's name."""
    if options["format"]:
        return FORMATS[options["format"]]
    extension = options["output"].suffix.removeprefix(".")
    return next((each for each in FORMATS.values() if each.extension == extension), FORMATS["table"])


def _user() -> str:
    """Who runs this; in a container that may be nobody the system knows by name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the latter from Python 3.13 on
        return f"user {os.getuid()}"


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return name, value


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _distinct(parameters: list[tuple[str, str]]) -> dict[str, str]:
    """Raises InvalidParametersError for a parameter that is given twice."""
    names = [name for name, _ in parameters]
    if twice := {name: "is given more than once" for name in names if names.count(name) > 1}:
        raise InvalidParametersError(twice)
    return dict(parameters)
