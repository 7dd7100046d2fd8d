from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sales.totals import country_verification, feedback, feedback_verification
from sales.totals.figures import Figures
from salesengine.operations.progress import progress


class Command(BaseCommand):
    help = (
        "Add up every sale again and compare with the figures that feedback and the reports by country answer from. "
        "Nothing is printed and the exit code is 0 when all agree; otherwise each difference is printed and the exit "
        "code is 1. Sales may come in meanwhile."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--repair", action="store_true", help="build the figures anew from the sales, then verify")

    def handle(self, *args: Any, repair: bool, **options: Any) -> None:
        sales = feedback.watermark().sales
        if repair:
            with progress("Rebuilding", sales) as advance:
                feedback_verification.repair(advance)
            country_verification.repair()
        with progress("Verifying", sales) as advance:
            differences = feedback_verification.verify(advance)
        lines = [
            *map(_describe, differences),
            *map(_describe_countries, country_verification.verify()),
            *map(_describe_country, country_verification.verify_totals()),
        ]
        for line in lines:
            self.stdout.write(line)
        if number := len(lines):
            raise CommandError(f"{number} figures differ from the sales; verify_feedback --repair builds them anew.")
        self.stderr.write(f"Feedback agrees with all {feedback.watermark().sales:,} sales.")


def _describe(difference: feedback_verification.Difference) -> str:
    what = f"{difference.category or 'no category'}, {difference.day or 'all time'}"
    return f"{what}: {_compare(difference.stored, difference.expected)}"


def _describe_countries(difference: country_verification.CountryDifference) -> str:
    what = f"country {difference.id_seller_country} to {difference.id_buyer_country}, {difference.day}"
    return f"{what}: {_compare(difference.stored, difference.expected)}"


def _describe_country(difference: country_verification.CountryTotalDifference) -> str:
    return f"country {difference.id_country}, {difference.side}: {_compare(difference.stored, difference.expected)}"


def _compare(stored: Figures, expected: Figures) -> str:
    return "stored {} sales with revenue {:f}, expected {} with {:f}".format(*stored, *expected)
