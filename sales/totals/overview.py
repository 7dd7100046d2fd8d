"""Read sales by day and category for the home page, from the feedback's totals and the ledger.

The cost does not grow with the number of sales.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import NamedTuple

from django.db.models import DateField, DateTimeField, Value

from sales.models import DailyTotal, Sale, Total, UnfoldedFigures
from sales.totals.feedback import CategoryFeedback, rank
from sales.totals.figures import ZERO, CategoryDay, Figures, add_up
from sales.totals.periods import between, end_of, midnight

DAY = datetime.timedelta(days=1)
MONTH = 31 * DAY
# A quotient may have any number of digits, so it is rounded, unlike a sum.
ROUNDED = Context(prec=64, rounding=ROUND_HALF_UP)
CENT, TENTH = Decimal("0.01"), Decimal("0.1")


@dataclass(frozen=True)
class Period:
    """Days of payment in UTC, from `first` to `last`, both included."""

    first: datetime.date
    last: datetime.date

    @classmethod
    def ending(cls, last: datetime.date, days: int) -> "Period":
        """Return the period of this many days that ends on `last`. Raises OverflowError before the year 1."""
        return cls(last - (days - 1) * DAY, last)

    @property
    def days(self) -> list[datetime.date]:
        """All days, in order."""
        return [self.first + number * DAY for number in range((self.last - self.first).days + 1)]

    @property
    def previous(self) -> "Period":
        """The period of the same length just before. Raises OverflowError before the year 1."""
        return Period.ending(self.first - DAY, len(self.days))


class PeriodFigures(NamedTuple):
    """Number of sales, and their revenue."""

    sales: int
    revenue: Decimal

    @property
    def average(self) -> Decimal | None:
        """Revenue per sale, rounded to the cent. None without sales."""
        return ROUNDED.quantize(ROUNDED.divide(self.revenue, self.sales), CENT) if self.sales else None


def change_in_percent(now: Decimal, before: Decimal) -> Decimal | None:
    """Return 25.0 for a change from 200 to 250. None if `before` is not positive."""
    if before <= 0:
        return None
    difference = ROUNDED.subtract(now, before)
    return ROUNDED.quantize(ROUNDED.divide(ROUNDED.multiply(difference, Decimal(100)), before), TENTH)


@dataclass(frozen=True)
class CategorySales:
    """The figures of all sales committed at one moment. Sales without a category have the category None."""

    daily: Mapping[CategoryDay, Figures]  # in the requested period
    overall: Mapping[str | None, Figures]  # of all time
    received_at: datetime.datetime | None  # when the newest sale was received (None: there are no sales)

    def total(self, period: Period) -> PeriodFigures:
        """Return the figures of all categories in a part of the requested period."""
        days = [(None, *figures) for (_, day), figures in self.daily.items() if period.first <= day <= period.last]
        return PeriodFigures(*add_up(days).get(None, ZERO))

    def categories(self, period: Period) -> list[str | None]:
        """Return the categories with sales in a part of the requested period, by name, None last."""
        days = self.daily.items()
        found = {category for (category, day), sums in days if sums != ZERO and period.first <= day <= period.last}
        return sorted(found, key=lambda category: (category is None, category))

    def top(self, period: Period) -> list[CategoryFeedback]:
        """Return the top three categories in a part of the requested period, as GET /feedback does."""
        days = self.daily.items()
        figures = ((category, *sums) for (category, day), sums in days if period.first <= day <= period.last)
        return rank({category: sums for category, sums in add_up(figures).items() if category is not None})


def category_sales(period: Period) -> CategorySales:
    """Return the figures of a period and of all time, from one snapshot: one statement."""
    names = ("category", "sales_count", "revenue", "day", "received_at")
    daily = DailyTotal.objects.filter(day__range=(period.first, period.last))
    rows = list(
        daily.annotate(received_at=Value(None, DateTimeField()))
        .values_list(*names)
        .union(
            Total.objects.annotate(day=Value(None, DateField())).values_list(*names),
            UnfoldedFigures.objects.values_list(*names),
            all=True,
        )
    )
    # Daily totals have a day only, totals a time of receipt only. Unfolded figures have both and count in both sums.
    return CategorySales(
        daily=add_up(
            ((category, day), count, revenue)
            for category, count, revenue, day, _ in rows
            if day and period.first <= day <= period.last
        ),
        overall=add_up((category, count, revenue) for category, count, revenue, _, received_at in rows if received_at),
        received_at=max((received_at for *_, received_at in rows if received_at), default=None),
    )


def latest_sales(last: datetime.date | None, limit: int) -> Sequence[Sale]:
    """Return up to `limit` sales with the newest payments, up to the end of the day `last` in UTC (None: no limit)."""
    stop = end_of(last) if last else None
    sales = Sale.objects.filter(between("date_payment", None, stop)).order_by("-date_payment", "-id")
    # Most likely they are in the last month. PostgreSQL plans a query on all months for longer than it reads this one.
    recent = list(sales.filter(date_payment__gte=midnight(last - MONTH))[:limit]) if last else []
    return recent if len(recent) == limit else list(sales[:limit])
