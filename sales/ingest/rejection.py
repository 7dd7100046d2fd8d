"""Events that could not be taken: kept as they came, to be mended and replayed by staff."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from psycopg.types.json import Jsonb

from sales.ingest.batches import Batch
from sales.ingest.schema import EventError, SaleEvent

COPY_REJECTED = "COPY rejected_events (sender, source, position, content, reason, errors) FROM STDIN (FORMAT BINARY)"
DETAILS = re.compile(r"(?:: |; |, such as ).*", re.DOTALL)
LONGEST_REASON = 80
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Rejected:
    """A value that is no event that could be taken: as it came, and why."""

    index: int  # in its batch, from 0
    text: bytes
    errors: Sequence[EventError]


def keep_rejected(rejected: Sequence[Rejected], batch: Batch, sender: str, source: str) -> None:
    """Store them, in the caller's transaction; `source` is the id of the request or the name of the file."""
    with connection.cursor() as cursor, cursor.copy(COPY_REJECTED) as copy:
        copy.set_types(["text", "text", "bigint", "bytea", "text", "jsonb"])
        for each in rejected:
            position = each.index if batch.lines is None else batch.lines[each.index]
            row = (sender, source, position, each.text, reason_of(each.errors), Jsonb(storable(each.errors)))
            copy.write_row(row)


def reason_of(errors: Sequence[EventError]) -> str:
    """What is wrong in a few words, the same for the same mistake: few enough that staff can choose among them all."""
    field, detail = str(errors[0]["pointer"]).removeprefix("/"), str(errors[0]["detail"])
    if field and field not in SaleEvent.__annotations__:
        return "a field that no sale event has"  # the sender's own text, of any length and kind
    reason = f"{field} {DETAILS.sub('', detail)}".strip()
    return reason if len(reason) <= LONGEST_REASON else f"{reason[: LONGEST_REASON - 1]}…"


def storable(errors: Sequence[EventError]) -> list[EventError]:
    """Errors as PostgreSQL can hold them: it has no NUL, and the name of a field may have one."""
    return [{name: _without_nul(value) for name, value in error.items()} for error in errors]


def _without_nul(value: Any) -> Any:
    return value.replace("\0", REPLACEMENT) if isinstance(value, str) else value
