"""Rank the categories by sales. The cost does not grow with the number of sales.

The writer appends the figures of each write to the ledger, and folds add them to totals. A reader adds up totals and
unfolded entries from one snapshot, in Python: together they hold every committed sale exactly once.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from django.db.models import BigIntegerField, Q, QuerySet, TextField, Value
from django.db.models.functions import Cast, Concat

from sales.models import ArchivedMonth, DailyTotal, Sale, Total, UnfoldedFigures
from sales.totals.archives import refuse_archived
from sales.totals.figures import ZERO, Figures, add_up
from sales.totals.periods import between, midnight, split_period

TOP = 3
ARCHIVED = "archived: "


@dataclass(frozen=True)
class FeedbackQuery:
    """Select the sales of one category or of all, paid from `start` on and before `stop` (None: no limit), in UTC."""

    category: str | None = None
    start: datetime.datetime | None = None
    stop: datetime.datetime | None = None


@dataclass(frozen=True)
class CategoryFeedback:
    """The figures of one category, with the names that the API uses."""

    category: str
    sales_count: int
    total_revenue: Decimal


def top_categories(query: FeedbackQuery) -> list[CategoryFeedback]:
    """Return up to three categories with the most sales among those that the query selects, ranked as in `rank`.

    Raises SalesArchived if the period divides a day of an archived month.
    """
    first, *others = _sources(query)
    # One statement sees one snapshot. Two statements would miss a fold between them, or count it twice.
    figures = add_up(first.union(*others, all=True) if others else first)
    limits = {"start_date": query.start, "end_date": query.stop}
    parameters = [name for name, limit in limits.items() if limit and limit != midnight(limit.date())]
    refuse_archived((name.removeprefix(ARCHIVED) for name in figures if name.startswith(ARCHIVED)), parameters)
    return rank(figures)


def rank(figures: Mapping[str, Figures]) -> list[CategoryFeedback]:
    """Return the top three categories by number of sales. Ties go to the higher revenue, then to the first name.

    A category whose sales are all voided does not count.
    """
    categories = [CategoryFeedback(category, *sums) for category, sums in figures.items() if sums != ZERO]
    categories.sort(key=lambda feedback: (-feedback.sales_count, -feedback.total_revenue, feedback.category))
    return categories[:TOP]


def sum_of_categories(start: datetime.date | None, stop: datetime.date | None, condition: Q) -> Figures:
    """Return the figures of the sales paid from day `start` on and before day `stop` (None: no limit), in UTC.

    `condition` selects categories.
    """
    has_limits = start is not None or stop is not None
    totals, unfolded = (
        model.objects.filter(between("day", start, stop), condition).values_list("sales_count", "revenue")
        for model in (DailyTotal if has_limits else Total, UnfoldedFigures)
    )
    return add_up((None, *row) for row in totals.union(unfolded, all=True)).get(None, ZERO)


def figures_by_category() -> dict[str, Figures]:
    """Return the figures of all sales by category, from one snapshot. "" stands for no category."""
    totals, unfolded = (
        model.objects.values_list("category", "sales_count", "revenue") for model in (Total, UnfoldedFigures)
    )
    return add_up((category or "", count, revenue) for category, count, revenue in totals.union(unfolded, all=True))


class Watermark(NamedTuple):
    """The number of all sales, and when the newest of them was received or voided (None: there are no sales)."""

    sales: int
    received_at: datetime.datetime | None


def watermark(using: str = "default") -> Watermark:
    """Return the watermark of all committed sales, from one snapshot of totals and unfolded entries."""
    totals, unfolded = (
        model.objects.using(using).values_list("sales_count", "received_at") for model in (Total, UnfoldedFigures)
    )
    rows = list(totals.union(unfolded, all=True))
    return Watermark(sum(count for count, _ in rows), max((received_at for _, received_at in rows), default=None))


def _sources(query: FeedbackQuery) -> list[QuerySet[Any, Any]]:
    """Return querysets of (category, number of sales, revenue) that add up to the selected sales.

    Whole days come from totals and ledger, and the incomplete days at the edges from the sales themselves. If these are
    in archived months, the months come as categories whose names begin with ARCHIVED.
    """
    sources: list[QuerySet[Any, Any]]
    archived: list[QuerySet[Any, Any]] = []
    if query.start is None and query.stop is None:
        sources = [Total.objects.all(), UnfoldedFigures.objects.all()]
    else:
        days, edges = split_period(query.start, query.stop)
        sources = [Sale.objects.filter(between("date_payment", *edge)) for edge in edges]
        sources = [sales.annotate(sales_count=Value(1, BigIntegerField())) for sales in sources]
        if edges:  # their months, if they are archived
            months = {start.date().replace(day=1) for start, _ in edges if start}
            name = Concat(Value(ARCHIVED, TextField()), Cast("month", TextField()))
            archived = [ArchivedMonth.objects.filter(month__in=months).annotate(category=name)]
        if days is not None:
            sources += [model.objects.filter(between("day", *days)) for model in (DailyTotal, UnfoldedFigures)]
    condition = Q(category=query.category) if query.category else Q(category__isnull=False)
    return [
        source.values_list("category", "sales_count", "revenue")
        for source in (*(source.filter(condition) for source in sources), *archived)
    ]
