"""The ledger's entries: where each write came from, which sales it changed, and what it adds to the figures.

The writer appends an entry in the transaction that changes `sales`. A fold stamps it later (sales/totals/folding.py).
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence, Set
from decimal import Decimal
from typing import NamedTuple

import msgspec
from django.db import connection, connections
from django.db.backends.utils import CursorWrapper
from msgspec import structs

from sales.models import SoldItem
from sales.totals.figures import EXACT, CategoryDay, Figures, add_up
from salesengine.exact_json import encode_json


class Origin(NamedTuple):
    """Who sent events, and the id of the request, the name of the file, or the replay that brought them."""

    sender: str = ""
    source: str = ""


NO_ORIGIN = Origin()


class Tally(msgspec.Struct):
    """What an entry adds to one category and day of payment (UTC). The figures of voided sales are negative."""

    category: str | None
    day: datetime.date
    sales_count: int
    revenue: Decimal


class NewEntry(msgspec.Struct, frozen=True):
    """An entry to append. It has accepted sales or voided ones, or only duplicate and rejected events."""

    sender: str
    sources: Sequence[str]  # one for all sales, or one for each
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0
    voided: int = 0
    tallies: Sequence[Tally] = ()
    first_day: datetime.date | None = None
    last_day: datetime.date | None = None
    brands: Set[str] = frozenset()
    sale_ids: str = "{}"  # a multirange; not used if APPEND gets another expression
    number: int = 0  # of the entry in its write; tells which sales belong to it


SELECT_DUE = """
    SELECT id, received_at, accepted, duplicate, rejected, voided, tallies::text
    FROM (
        SELECT *, SUM(accepted + voided) OVER (ORDER BY id) - accepted - voided AS changes_before
        FROM (SELECT * FROM ledger WHERE position IS NULL AND id <= %s ORDER BY id LIMIT %s) AS oldest
    ) AS due
    WHERE changes_before < %s
    ORDER BY id
    """
# {entries} are sent as JSON, at a third of the cost of model instances. {sale_ids} is an expression, which may use
# `entry`.
APPEND = """
    INSERT INTO ledger
        (sender, sources, sale_ids, accepted, duplicate, rejected, voided, tallies, first_day, last_day, brands)
    SELECT sender, sources, {sale_ids}, accepted, duplicate, rejected, voided, tallies, first_day, last_day, brands
    FROM json_to_recordset({entries}) AS entry (
        number bigint, sender text, sources text[], sale_ids int8multirange,
        accepted bigint, duplicate bigint, rejected bigint, voided bigint, tallies json,
        first_day date, last_day date, brands text[]
    )
    RETURNING id"""


class DueEntry(NamedTuple):
    """An entry to fold, in the order of the columns of SELECT_DUE."""

    id: int
    received_at: datetime.datetime
    accepted: int
    duplicate: int
    rejected: int
    voided: int
    tallies: str | None

    @property
    def changes(self) -> int:
        return self.accepted + self.voided


read_tallies = msgspec.json.Decoder(list[Tally]).decode


def change_count(using: str) -> int:
    """Return the number of committed changes. It grows with each one, so it tells two states of the sales apart."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT change_count FROM ledger_changes")
        count: int = cursor.fetchone()[0]
    return count


def stamped_position() -> int:
    """Return the newest position that a fold has stamped, or 0."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(MAX(position), 0) FROM ledger")
        position: int = cursor.fetchone()[0]
    return position


def append(cursor: CursorWrapper, entries: Sequence[NewEntry]) -> list[int]:
    """Append entries in the caller's transaction, and return their ids."""
    cursor.execute(APPEND.format(sale_ids="sale_ids", entries="%s"), [encode_json(entries).decode()])
    return [entry_id for (entry_id,) in cursor]


def figures_of(sales: Iterable[SoldItem], sign: int) -> dict[CategoryDay, Figures]:
    """Return what sales add to the figures (`sign` is 1), or what voiding them adds (-1)."""
    return add_up(
        ((sale.category, sale.date_payment.date()), sign, EXACT.multiply(sale.revenue, sign)) for sale in sales
    )


def tallies(figures: Mapping[CategoryDay, Figures]) -> list[Tally]:
    """Return figures by category and day as an entry has them."""
    return [Tally(category, day, *sums) for (category, day), sums in figures.items()]


def add_tallies(entry: NewEntry, tallies: Sequence[Tally]) -> NewEntry:
    """Return the entry with the figures of its sales by category and day."""
    days = [tally.day for tally in tallies]
    first, last = min(days, default=None), max(days, default=None)
    return structs.replace(entry, tallies=tallies, first_day=first, last_day=last)


def id_ranges(sale_ids: Sequence[int]) -> str:
    """Return ascending ids as a PostgreSQL multirange: {[1,3]}, or {[1,1],[3,3]} if there are gaps."""
    if not sale_ids:
        return "{}"
    if sale_ids[-1] - sale_ids[0] == len(sale_ids) - 1:
        return f"{{[{sale_ids[0]},{sale_ids[-1]}]}}"
    return f"{{{','.join(f'[{sale_id},{sale_id}]' for sale_id in sale_ids)}}}"
