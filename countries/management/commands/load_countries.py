import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from countries.csv_file import HEADER, InvalidCountriesError, read_countries
from countries.loading import store_countries
from countries.models import Country
from salesengine.accounts.audit_log import record_command
from salesengine.management.arguments import input_file

EXAMPLE = f"""\
A file looks like this:

    {HEADER}
    170,France,Europe
    203,Spain,Europe

Check it first, then load it:

    manage.py load_countries countries.csv --dry-run
    manage.py load_countries countries.csv

Countries with a new id are added. Countries with a known id get the name and the continent of the file. No country is
deleted. If any row is invalid, nothing is stored. The continent may be empty. Semicolons or tabs may separate the
values instead of commas.

exit codes: 0 success, 1 failure, such as an invalid row, 2 invalid arguments, 130 interrupted, 143 SIGTERM, 129 SIGHUP
"""


class Command(BaseCommand):
    help = "Load all countries of a CSV file, or none if a row is invalid."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLE
        parser.add_argument(
            "file",
            type=input_file,
            metavar="FILE.csv",
            help=f"UTF-8, with the header {HEADER}; - reads standard input",
        )
        parser.add_argument("--dry-run", action="store_true", help="report what would change, and store nothing")

    def handle(self, *, file: str, dry_run: bool, **options: Any) -> None:
        source = "standard input" if file == "-" else file
        try:
            countries = read_countries(sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes())
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}") from None
        except InvalidCountriesError as error:
            raise CommandError(f"{source}: {error}") from None
        with transaction.atomic():
            result = store_countries(countries, dry_run=dry_run)
            summary = f"{result.new:,} new, {result.changed:,} changed, {result.unchanged:,} unchanged"
            if not dry_run and (result.new or result.changed):
                record_command(Country, f"Loaded from {source}: {summary}.")
        self.stderr.write(f"Dry run, nothing stored: {summary}" if dry_run else f"Countries: {summary}", str)
