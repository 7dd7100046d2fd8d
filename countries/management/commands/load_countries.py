import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from countries.csv_file import HEADER, InvalidCountriesError
from countries.loading import load_countries

EXAMPLE = f"""\
A file such as countries.csv:

    {HEADER}
    170,France,Europe
    203,Spain,Europe

is checked, and then stored, with:

    manage.py load_countries countries.csv --dry-run
    manage.py load_countries countries.csv

Countries with a new id are added, those with a known id get the file's name and continent. No country is deleted.
With one bad row nothing is stored. An empty continent is no continent.
"""


class Command(BaseCommand):
    help = "Load countries from a CSV file, all of them or none."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLE
        parser.add_argument("file", metavar="FILE.csv", help=f"UTF-8, with the header {HEADER}; - reads standard input")
        parser.add_argument("--dry-run", action="store_true", help="say what would happen, and store nothing")

    def handle(self, *, file: str, dry_run: bool, **options: Any) -> None:
        try:
            csv_file = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
            outcome = load_countries(csv_file, dry_run=dry_run)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}") from None
        except InvalidCountriesError as error:
            raise CommandError(f"{'standard input' if file == '-' else file}: {error}") from None
        summary = f"{outcome.new:,} new, {outcome.changed:,} changed, {outcome.unchanged:,} unchanged"
        self.stderr.write(f"Dry run, nothing stored: {summary}" if dry_run else f"Countries: {summary}", str)
