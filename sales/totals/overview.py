"""What sold, day by day and in all, from the totals that feedback keeps: the cost does not grow with the sales."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import NamedTuple

from django.db.models import DateField, DateTimeField, Value

from sales.models import DailyTotal, JournalEntry, Sale, Total
from sales.totals.feedback import ZERO, CategoryDay, CategoryFeedback, Figures, add_up, between, midnight, rank

DAY = datetime.timedelta(days=1)
# Quotients have more digits than sums; these are rounded to what people read.
ROUNDED = Context(prec=64, rounding=ROUND_HALF_UP)
CENT, TENTH = Decimal("0.01"), Decimal("0.1")


@dataclass(frozen=True)
class Period:
    """Days of payment (UTC), both included."""

    first: datetime.date
    last: datetime.date

    @classmethod
    def ending(cls, last: datetime.date, days: int) -> "Period":
        """So many days, the last of which is this one. Raises OverflowError for days before the year 1."""
        return cls(last - (days - 1) * DAY, last)

    @property
    def days(self) -> list[datetime.date]:
        """Each of them, in their order."""
        return [self.first + number * DAY for number in range((self.last - self.first).days + 1)]

    @property
    def before(self) -> "Period":
        """The days before, as many. Raises OverflowError for days before the year 1."""
        return Period.ending(self.first - DAY, len(self.days))


class Sold(NamedTuple):
    """Figures of some sales."""

    sales: int
    revenue: Decimal

    @property
    def average(self) -> Decimal | None:
        """Revenue of a sale, to the cent; None where there was none."""
        return ROUNDED.quantize(ROUNDED.divide(self.revenue, self.sales), CENT) if self.sales else None


def change_in_percent(now: Decimal, before: Decimal) -> Decimal | None:
    """From 200 to 250 is 25.0; None where there was nothing, or less than nothing, to compare with."""
    if before <= 0:
        return None
    difference = ROUNDED.subtract(now, before)
    return ROUNDED.quantize(ROUNDED.divide(ROUNDED.multiply(difference, Decimal(100)), before), TENTH)


@dataclass(frozen=True)
class CategorySales:
    """Every sale that was committed at one moment, and no other; no category is a category of its own here."""

    daily: Mapping[CategoryDay, Figures]  # of the days asked for
    overall: Mapping[str | None, Figures]  # of all time
    received_at: datetime.datetime | None  # when the newest of all was received; None: there is none

    def sold(self, period: Period) -> Sold:
        """In days that were asked for."""
        days = [(None, *each) for (_, day), each in self.daily.items() if period.first <= day <= period.last]
        return Sold(*add_up(days).get(None, ZERO))

    def categories(self, period: Period) -> list[str | None]:
        """Those that had sales in days that were asked for, by name; none last."""
        found = {category for category, day in self.daily if period.first <= day <= period.last}
        return sorted(found, key=lambda category: (category is None, category))

    def top(self) -> list[CategoryFeedback]:
        """The top three of all time, as GET /feedback has them."""
        return rank({category: each for category, each in self.overall.items() if category is not None})


def category_sales(period: Period) -> CategorySales:
    """The figures of these days, and of all time, from one snapshot: one statement."""
    names = ("category", "sales_count", "revenue", "day", "received_at")
    daily = DailyTotal.objects.filter(day__range=(period.first, period.last))
    rows = list(
        daily.annotate(received_at=Value(None, DateTimeField()))
        .values_list(*names)
        .union(
            Total.objects.annotate(day=Value(None, DateField())).values_list(*names),
            JournalEntry.objects.values_list(*names),
            all=True,
        )
    )
    # What has both is of the journal, and counts as both.
    return CategorySales(
        daily=add_up(
            ((category, day), count, revenue)
            for category, count, revenue, day, _ in rows
            if day and period.first <= day <= period.last
        ),
        overall=add_up((category, count, revenue) for category, count, revenue, _, received_at in rows if received_at),
        received_at=max((received_at for *_, received_at in rows if received_at), default=None),
    )


def latest_sales(last: datetime.date | None, most: int) -> Sequence[Sale]:
    """The newest payments up to the end of that day (UTC; None: of all)."""
    stop = midnight(last + DAY) if last and last < datetime.date.max else None
    return list(Sale.objects.filter(between("date_payment", None, stop)).order_by("-date_payment", "-id")[:most])
