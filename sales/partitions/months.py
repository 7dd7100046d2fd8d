"""The months of `sales`: their names, their limits and their indexes.

`sales_other` is the partition of all other sales, and `sales_before_partitions` that of the sales from before the table
was partitioned (sales/migrations/0021_partition_sales.py).
"""

import datetime
import re
from argparse import ArgumentTypeError
from typing import NamedTuple

OTHERS = "sales_other"
# The name of each index of a month, after that of the month, and its definition.
INDEXES = {
    # For the newest sales, for periods in feedback and reports, and for the reports on buyers, which read only this.
    "newest": "(date_payment DESC, id DESC) INCLUDE (id_buyer, revenue)",
    # For exact ids. Hash indexes would be a third as large, but get slower with each sale that has the same id.
    "order": "(id_order)",
    "product": "(id_product)",
    "buyer": "(id_buyer)",
    "seller": "(id_seller)",
    # For the back office's filters by rare values. Common values are found by reading the newest sales.
    "category": "(category)",
    "brand": "(brand)",
    "seller_country": "(id_seller_country)",
    "buyer_country": "(id_buyer_country)",
}
# Tells the planner that each sale has a payment time of its own. If it believed in few times, it would look up ids in
# the index "newest", and read all sales of a day.
OPTIONS = "ALTER COLUMN date_payment SET (n_distinct = -1)"
# The name of each partition, and from when to when its sales were paid: null stands for no limit. OTHERS has two nulls.
PARTITIONS = r"""
    SELECT relname, (substring(bound FROM $$FROM \('(.+?)'\)$$))::timestamptz,
        (substring(bound FROM $$TO \('(.+?)'\)$$))::timestamptz
    FROM pg_inherits JOIN pg_class ON oid = inhrelid, pg_get_expr(relpartbound, oid) AS bound
    WHERE inhparent = 'sales'::regclass
    """


class Month(NamedTuple):
    """A month in UTC."""

    year: int
    month: int

    @classmethod
    def of(cls, day: datetime.date) -> "Month":
        return cls(day.year, day.month)

    @property
    def first_day(self) -> datetime.date:
        return datetime.date(self.year, self.month, 1)

    @property
    def start(self) -> datetime.datetime:
        return datetime.datetime(self.year, self.month, 1, tzinfo=datetime.UTC)

    @property
    def next(self) -> "Month":
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def table(self) -> str:
        """The name of its partition."""
        return f"sales_{self.year:04}_{self.month:02}"

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}"


def month_argument(text: str) -> Month:
    """Return the month that an argument of a command names: 2021-01. Raises ArgumentTypeError."""
    match = re.fullmatch(r"([0-9]{4})-(0[1-9]|1[0-2])", text)
    if not match or text < "0001":
        raise ArgumentTypeError(f"{text!r} is not a month such as 2021-01")
    return Month(int(match[1]), int(match[2]))
