"""Add up sales exactly, in Python."""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation, localcontext
from typing import TypeVar

from salesengine.plurals import counted

# A revenue has up to 15 digits before the point and 20 after it, so Python's default of 28 digits would round a sum.
# 64 digits hold the sum of 10^29 of the largest revenues. The traps turn any rounding into an error.
EXACT = Context(prec=64, traps=[Inexact, InvalidOperation])

Key = TypeVar("Key")
Figures = tuple[int, Decimal]  # number of sales, and their revenue
CategoryDay = tuple[str | None, datetime.date]  # category, and day of payment in UTC
NO_REVENUE = Decimal(0)
ZERO: Figures = (0, NO_REVENUE)


@dataclass(frozen=True)
class Difference:
    """Stored figures that differ from the sum of the sales. `name` says which: "bags, 2021-01-07"."""

    name: str
    stored: Figures
    expected: Figures

    def __str__(self) -> str:
        (stored_count, stored_revenue), (count, revenue) = self.stored, self.expected
        stored = f"stored {counted(stored_count, 'sale')} with revenue {stored_revenue:f}"
        return f"{self.name}: {stored}, expected {count:,} with {revenue:f}"


def add_up(rows: Iterable[tuple[Key, int, Decimal]]) -> dict[Key, Figures]:
    """Return the exact figures of each key. Rows are (key, number of sales, revenue)."""
    sums: dict[Key, Figures] = {}
    with localcontext(EXACT):
        for key, count, revenue in rows:
            count_so_far, revenue_so_far = sums.get(key, ZERO)
            sums[key] = (count_so_far + count, revenue_so_far + revenue)
    return sums
