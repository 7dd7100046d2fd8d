from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sales import feedback
from salesengine.progress import progress


class Command(BaseCommand):
    help = (
        "Add up every sale again and compare with the figures that feedback answers from. Nothing is printed and the "
        "exit code is 0 when all agree; otherwise each difference is printed and the exit code is 1. Sales may come in "
        "meanwhile."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--repair", action="store_true", help="build the figures anew from the sales, then verify")

    def handle(self, *args: Any, repair: bool, **options: Any) -> None:
        sales = feedback.sales_counted()
        if repair:
            with progress("Rebuilding", sales) as advance:
                feedback.repair(advance)
        with progress("Verifying", sales) as advance:
            differences = feedback.verify(advance)
        for difference in differences:
            self.stdout.write(_describe(difference))
        if differences:
            raise CommandError(
                f"{len(differences)} figures differ from the sales; verify_feedback --repair builds them anew."
            )
        self.stderr.write(f"Feedback agrees with all {feedback.sales_counted():,} sales.")


def _describe(difference: feedback.Difference) -> str:
    (kept_count, kept_revenue), (true_count, true_revenue) = difference.kept, difference.true
    return (
        f"{difference.category or 'no category'}, {difference.day or 'all time'}: "
        f"kept {kept_count} sales with revenue {kept_revenue:f}, but there are {true_count} with {true_revenue:f}"
    )
