from argparse import ArgumentTypeError
from datetime import timedelta

from sales.models import IdempotencyKey
from salesengine.management.purging import PurgeCommand


class Command(PurgeCommand):
    help = "Delete Idempotency-Keys that are at least 24 hours old, and the responses stored with them."
    model, timestamp, label = IdempotencyKey, "created_at", "Idempotency-Key"
    example_age = "7d"
    default_age = "24h"
    skip_locked = False  # a cluster refuses to, and requests lock only new keys
    note = "A request that repeats a deleted key counts as a new request."

    def parse_age(self, text: str) -> timedelta:
        """Parse a duration of at least 24 hours, because clients may rely on repeating a request for that long."""
        age = super().parse_age(text)
        if age < timedelta(hours=24):
            raise ArgumentTypeError(f"{text!r} is too short: keys are stored for at least 24 hours")
        return age
