"""Read all changes since a position, or all sales, for a file. Memory stays flat, however many there are."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Min, Sum

from sales.changes.feed import check_complete, last_position
from sales.changes.statements import READ_ROWS, READ_SALES, adapted
from sales.models import ArchivedMonth, Sale
from sales.totals.feedback import watermark
from sales.totals.isolation import snapshot
from sales.totals.ledger import stamped_position

PAGE = 10_000  # changes in memory at a time

ChangeRow = tuple[Any, ...]  # the values of CHANGE_FIELDS


@dataclass(frozen=True)
class Export:
    """The changes up to the position `end`. `count` is their number; for all sales it may be a little too high."""

    end: int
    count: int
    rows: Iterator[ChangeRow]


@contextmanager
def open_export(after: int | None) -> Iterator[Export]:
    """Find what is committed by now: the changes after a position, or all sales if it is None.

    All sales come without positions and voids, in the order of their ids, as they are at the position `end`, except
    those that are archived. Reading the rows raises PositionPurged.
    """
    last = last_position()
    if after is not None:
        yield Export(last, last - after, _changes(after, last))
        return
    with snapshot():
        archived = ArchivedMonth.objects.aggregate(number=Sum("sales_count"))["number"] or 0
        yield Export(stamped_position(), watermark().sales - archived, _all_sales())


def _changes(after: int, last: int) -> Iterator[ChangeRow]:
    for start in range(after, last, PAGE):
        end = min(start + PAGE, last)
        for statement in READ_ROWS:
            rows = _fetch(statement, {"after": start, "end": end})
            if len(rows) == end - start:
                break
        check_complete(len(rows), start, end)
        yield from rows


def _all_sales() -> Iterator[ChangeRow]:
    after: int | None = 0
    while after is not None:
        end = after + PAGE
        rows = _fetch(READ_SALES, {"after": after, "end": end})
        yield from rows
        after = end if rows else _last_id_before_sales(end)


def _last_id_before_sales(after: int) -> int | None:
    """Return the id before the next sale's, or None if no sale follows `after`."""
    next_id: int | None = Sale.objects.filter(pk__gt=after).aggregate(id=Min("pk"))["id"]
    return next_id and next_id - 1


def _fetch(statement: str, parameters: dict[str, int]) -> list[ChangeRow]:
    with connection.cursor() as cursor:
        cursor.execute(adapted(statement), parameters)
        rows: list[ChangeRow] = cursor.fetchall()
    return rows
