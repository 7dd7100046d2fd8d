from analytics.models import ReportRun
from salesengine.management.purging import PurgeCommand


class Command(PurgeCommand):
    help = "Delete old runs from the log of report runs."
    model, timestamp, label = ReportRun, "started_at", "report run"
    example_age = "52w"
