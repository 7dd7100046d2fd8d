"""Events that could not be taken: kept as they came, mended by staff, and sent again."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection
from psycopg.types.json import Jsonb

from sales.batches import Batch
from sales.schemas import Error

COPY_REJECTED = "COPY rejected_events (sender, source, position, content, reason, errors) FROM STDIN (FORMAT BINARY)"


@dataclass(frozen=True)
class Rejected:
    """A value that is no event that could be taken: as it came, and why."""

    index: int  # in its batch, from 0
    text: bytes
    errors: Sequence[Error]


def keep_rejected(rejected: Sequence[Rejected], batch: Batch, sender: str, source: str) -> None:
    """Store them, in the caller's transaction; `source` is the id of the request or the name of the file."""
    with connection.cursor() as cursor, cursor.copy(COPY_REJECTED) as copy:
        copy.set_types(["text", "text", "bigint", "bytea", "text", "jsonb"])
        for each in rejected:
            position = each.index if batch.lines is None else batch.lines[each.index]
            row = (sender, source, position, each.text, _reason(each.errors[0]), Jsonb(each.errors))
            copy.write_row(row)


def _reason(error: Error) -> str:
    """What is wrong in a few words, the same for the same mistake, to filter by."""
    field = str(error["pointer"]).removeprefix("/")
    return f"{field} {error['detail']}".strip()
