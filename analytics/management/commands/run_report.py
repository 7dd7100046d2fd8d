import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from analytics.exports import FORMATS, whole_file
from analytics.reports import InvalidReportError, UnknownReportError, find_report, invalid_reports, load_reports
from analytics.runner import Column, ReportFailed, Result, run

EXAMPLES = """\
examples:
  manage.py run_report --list
  manage.py run_report country_contribution
  manage.py run_report country_contribution --format csv > shares.csv
  manage.py run_report country_contribution --format json --output shares.json
  manage.py run_report country_contribution --format csv | head

Only data goes to standard output; everything else goes to standard error. --output replaces the file when the report is
complete, and leaves it as it was when the report fails or is interrupted. csv and json are written as rows arrive,
however many there are; a table is for results that people read.

exit codes: 0 done, 1 failed, 2 wrong call (an unknown report, too), 130 interrupted
"""


class Command(BaseCommand):
    help = "Run a report, one of the files in sql/, and write its result."
    requires_system_checks = ()  # a bad report file must not keep the others from running

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("name", metavar="NAME", nargs="?", help="the report to run")
        what.add_argument("--list", action="store_true", help="list the reports there are")
        parser.add_argument("--format", choices=FORMATS, default="table", help="table (default), csv or json")
        parser.add_argument("--output", metavar="FILE", type=Path, help="write to this file, not to standard output")

    def handle(self, *, name: str | None, format: str, output: Path | None, **options: Any) -> None:  # noqa: A002
        try:
            source = nullcontext(self._list()) if name is None else run(find_report(name))
            with self._destination(output) as write, source as result:
                for text in FORMATS[format](result):
                    write(text)
        except UnknownReportError as error:
            raise CommandError(str(error), returncode=2) from None
        except (InvalidReportError, ReportFailed) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError("Interrupted.", returncode=130) from None
        except BrokenPipeError:
            # Whoever reads has seen enough. Python's own last flush should not complain about it either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            raise CommandError(f"{output or 'Standard output'} cannot be written: {error.strerror}") from None

    def _list(self) -> Result:
        """The reports there are; the files that should be reports and are not go to standard error."""
        for bad in invalid_reports():
            self.stderr.write(f"Left out: {bad}")
        rows = iter([(report.name, report.title) for report in load_reports()])
        return Result([Column("name", is_number=False), Column("title", is_number=False)], rows)

    @contextmanager
    def _destination(self, output: Path | None) -> Iterator[Callable[[str], object]]:
        if output is None:
            yield partial(self.stdout.write, ending="")
            self.stdout.flush()
        else:
            with whole_file(output) as file:
                yield file.write
