"""Check the feedback's totals against the sales, and rebuild them."""

import datetime
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from sales.models import DailyTotal, JournalEntry, Sale, Total
from sales.totals import ingest_minutes
from sales.totals.feedback_folding import daily_figures, overall_figures, write_daily_totals, write_totals
from sales.totals.figures import ZERO, CategoryDay, Figures, add_up
from sales.totals.isolation import fold_lock, snapshot


@dataclass(frozen=True)
class Difference:
    """Figures of totals and journal that differ from the sum of the sales. `day` is None for all time."""

    category: str | None
    day: datetime.date | None
    stored: Figures
    expected: Figures


def verify(advance: Callable[[int], object] = lambda sales: None) -> list[Difference]:
    """Add up every sale and return the figures that differ. Writers and folds may run meanwhile.

    Calls `advance` with the number of sales read since the last call.
    """
    with snapshot(read_only=True):
        daily = add_up(row for model in (DailyTotal, JournalEntry) for row in daily_figures(model.objects.all()))
        overall = add_up(row for model in (Total, JournalEntry) for row in overall_figures(model.objects.all()))
        expected_daily = add_up(_every_sale(advance))
    expected_overall = _sum_over_days(expected_daily)
    figures = [
        Difference(category, None, overall.get(category, ZERO), expected_overall.get(category, ZERO))
        for category in overall.keys() | expected_overall.keys()
    ]
    figures += [
        Difference(category, day, daily.get((category, day), ZERO), expected_daily.get((category, day), ZERO))
        for category, day in daily.keys() | expected_daily.keys()
    ]
    differences = [difference for difference in figures if difference.stored != difference.expected]
    return sorted(differences, key=lambda difference: (difference.day or datetime.date.min, difference.category or ""))


def repair(advance: Callable[[int], object] = lambda sales: None) -> None:
    """Rebuild the totals from the sales. Folds return at once meanwhile; writers go on.

    A batch that is committed after the snapshot is not in the new totals. Its journal entries are not deleted either,
    because the snapshot does not see them. Calls `advance` as `verify` does.
    """
    with fold_lock(), snapshot():
        daily = add_up(_every_sale(advance))
        ingest_minutes.fold(JournalEntry.objects.values_list("received_at", "sales_count"))
        for model in (DailyTotal, Total, JournalEntry):
            model.objects.all().delete()
        write_daily_totals(daily)
        newest = Sale.objects.order_by("-received_at").values_list("received_at", flat=True).first()
        write_totals(_sum_over_days(daily), newest)


def _sum_over_days(daily: Mapping[CategoryDay, Figures]) -> dict[str | None, Figures]:
    return add_up((category, *figures) for (category, _), figures in daily.items())


def _every_sale(advance: Callable[[int], object], chunk: int = 10_000) -> Iterator[tuple[CategoryDay, int, Decimal]]:
    rows = Sale.objects.values_list("category", "date_payment", "revenue").iterator(chunk_size=chunk)
    number = 0
    for number, (category, paid_at, revenue) in enumerate(rows, start=1):
        yield (category, paid_at.date()), 1, revenue
        if number % chunk == 0:
            advance(chunk)
    advance(number % chunk)
