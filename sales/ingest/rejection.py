"""Store rejected events unchanged, so that staff can edit and replay them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import connection
from django.db.models import Count, Sum
from django.db.models.functions import Length
from psycopg.types.json import Jsonb

from sales.ingest.batches import Batch
from sales.ingest.fields import FIELDS
from sales.ingest.schema import EventError, shorten
from sales.models import RejectedEvent
from sales.totals.ledger import Origin
from salesengine.http.errors import TooManyRejected

COPY_REJECTED = "COPY rejected_events (sender, source, position, content, reason, errors) FROM STDIN (FORMAT BINARY)"
DETAILS = re.compile(r"(?:: |; |, such as ).*", re.DOTALL)
MAX_REASON_LENGTH = 80
BYTES_PER_REJECTED = 2_000  # on average; an event has a few hundred, but one that is rejected could have megabytes
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Rejection:
    """A value that was rejected, and why."""

    index: int  # in its batch, from 0
    text: bytes  # as sent
    errors: Sequence[EventError]


def store_rejections(rejections: Sequence[Rejection], batch: Batch, origin: Origin) -> None:
    """Store rejected values in the caller's transaction.

    Raises TooManyRejected when the sender would have more than MAX_REJECTED_WAITING, or too many bytes. Concurrent
    requests do not see each other's, so together they may exceed the limits.
    """
    limit = settings.MAX_REJECTED_WAITING
    waiting = RejectedEvent.objects.filter(sender=origin.sender, replayed_at=None)[:limit]
    count, size = waiting.aggregate(count=Count("pk"), size=Sum(Length("content"), default=0)).values()
    more = sum(len(rejection.text) for rejection in rejections)
    _check_limit(limit, "rejected events that wait for staff", count, len(rejections))
    _check_limit(limit * BYTES_PER_REJECTED, "bytes of rejected events that wait for staff", size, more)
    with (
        connection.cursor() as cursor,
        connection.wrap_database_errors,  # Django wraps no errors of COPY
        cursor.copy(COPY_REJECTED) as copy,
    ):
        copy.set_types(["text", "text", "bigint", "bytea", "text", "jsonb"])
        for rejection in rejections:
            errors = rejection.errors
            position = rejection.index if batch.lines is None else batch.lines[rejection.index]
            row = (*origin, position, rejection.text, short_reason(errors), Jsonb(storable_errors(errors)))
            copy.write_row(row)


def _check_limit(limit: int, things: str, waiting: int, more: int) -> None:
    if waiting + more > limit:
        raise TooManyRejected(
            f"The limit is {limit:,} {things} per sender. This sender has {waiting:,}, and {more:,} more were sent."
        )


def short_reason(errors: Sequence[EventError]) -> str:
    """Summarize the first error, the same way for every event with this error, so that staff can filter by it."""
    field, detail = str(errors[0]["pointer"]).removeprefix("/"), str(errors[0]["detail"])
    if field and field not in FIELDS:
        return "unknown field"  # the sender chose the name, so it could be of any length
    reason = f"{field} {DETAILS.sub('', detail)}".strip()
    return shorten(reason, MAX_REASON_LENGTH)


def storable_errors(errors: Sequence[EventError]) -> list[EventError]:
    """Replace NUL, which a field's name may contain and PostgreSQL cannot store."""
    return [
        {name: value.replace("\0", REPLACEMENT) if isinstance(value, str) else value for name, value in error.items()}
        for error in errors
    ]
