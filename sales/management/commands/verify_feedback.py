from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sales.models import Total
from sales.totals import country_totals, feedback
from salesengine.accounts.audit_log import record_command
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
                feedback.repair(advance)
            country_totals.repair()
            record_command(Total, "Rebuilt the totals of feedback and of countries from the sales.")
        with progress("Verifying", sales) as advance:
            differences = feedback.verify(advance)
        lines = [
            *map(_describe, differences),
            *map(_describe_countries, country_totals.verify()),
            *map(_describe_country, country_totals.verify_totals()),
        ]
        for line in lines:
            self.stdout.write(line)
        if number := len(lines):
            raise CommandError(f"{number} figures differ from the sales; verify_feedback --repair builds them anew.")
        self.stderr.write(f"Feedback agrees with all {feedback.watermark().sales:,} sales.")


def _describe(difference: feedback.Difference) -> str:
    what = f"{difference.category or 'no category'}, {difference.day or 'all time'}"
    return f"{what}: {_compare(difference.kept, difference.true)}"


def _describe_countries(difference: country_totals.CountryDifference) -> str:
    what = f"country {difference.id_seller_country} to {difference.id_buyer_country}, {difference.day}"
    return f"{what}: {_compare(difference.kept, difference.true)}"


def _describe_country(difference: country_totals.CountryTotalDifference) -> str:
    return f"country {difference.id_country}, {difference.side}: {_compare(difference.kept, difference.true)}"


def _compare(kept: feedback.Figures, true: feedback.Figures) -> str:
    (kept_count, kept_revenue), (true_count, true_revenue) = kept, true
    return f"kept {kept_count} sales with revenue {kept_revenue:f}, but there are {true_count} with {true_revenue:f}"
