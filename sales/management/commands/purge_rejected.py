from sales.models import RejectedEvent
from salesengine.management.purging import PurgeCommand


class Command(PurgeCommand):
    help = "Delete old rejected events, replayed or not."
    model, timestamp, label = RejectedEvent, "received_at", "rejected event"
    example_age = "90d"
    note = "Replayed events are deleted as well as waiting ones. The sales of replayed events stay."
