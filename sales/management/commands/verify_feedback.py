from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sales.models import Total
from sales.totals import country_verification, feedback, feedback_verification
from salesengine.accounts.audit_log import record_command
from salesengine.operations.progress import progress
from salesengine.plurals import counted


class Command(BaseCommand):
    help = (
        "Add up all sales and compare the result with the stored totals of feedback and of the reports by country. If "
        "they agree, standard output stays empty and the exit code is 0. Otherwise each difference is printed and the "
        "exit code is 1. Sales can be stored while the command runs."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--repair", action="store_true", help="rebuild the totals from the sales, then verify")

    def handle(self, *args: Any, repair: bool, **options: Any) -> None:
        sales = feedback.watermark().sales
        if repair:
            with progress("Rebuilding", sales) as advance:
                feedback_verification.repair(advance)
            country_verification.repair()
            record_command(Total, "Rebuilt the totals of feedback and of countries from the sales.")
        with progress("Verifying", sales) as advance:
            differences = feedback_verification.verify(advance)
        differences += country_verification.verify()
        for difference in differences:
            self.stdout.write(str(difference))
        if number := len(differences):
            differ = f"{counted(number, 'figure')} {'differs' if number == 1 else 'differ'} from the sales"
            raise CommandError(f"{differ}. Run verify_feedback --repair to rebuild the totals.")
        self.stderr.write(f"Feedback agrees with all {counted(feedback.watermark().sales, 'sale')}.")
