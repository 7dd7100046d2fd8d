"""Check the feedback's totals against the sales, and rebuild them."""

import datetime
from collections.abc import Callable, Iterator
from decimal import Decimal

from sales.models import DailyTotal, JournalEntry, Sale, Total
from sales.totals import ingest_minutes
from sales.totals.feedback_folding import daily_figures, overall_figures, sum_over_days, write_totals
from sales.totals.figures import ZERO, CategoryDay, Difference, add_up
from sales.totals.isolation import fold_lock, snapshot


def verify(advance: Callable[[int], object] = lambda sales: None) -> list[Difference]:
    """Add up every sale and return the figures that differ. Writers and folds may run meanwhile.

    Calls `advance` with the number of sales read since the last call.
    """
    with snapshot(read_only=True):
        daily = add_up(row for model in (DailyTotal, JournalEntry) for row in daily_figures(model.objects.all()))
        overall = add_up(row for model in (Total, JournalEntry) for row in overall_figures(model.objects.all()))
        expected_daily = add_up(_every_sale(advance))
    stored = daily | overall
    expected = expected_daily | sum_over_days(expected_daily)
    keys = sorted(stored.keys() | expected.keys(), key=lambda key: (key[1] or datetime.date.min, key[0] or ""))
    differences = (
        Difference(f"{key[0] or 'no category'}, {key[1] or 'all time'}", stored.get(key, ZERO), expected.get(key, ZERO))
        for key in keys
    )
    return [difference for difference in differences if difference.stored != difference.expected]


def repair(advance: Callable[[int], object] = lambda sales: None) -> None:
    """Rebuild the totals from the sales. While this runs, folds do nothing and writers continue.

    A batch that is committed after the snapshot is not in the new totals. Its journal entries are not deleted either,
    because the snapshot does not see them. Calls `advance` as `verify` does.
    """
    with fold_lock(), snapshot():
        daily = add_up(_every_sale(advance))
        ingest_minutes.fold(JournalEntry.objects.values_list("received_at", "sales_count"))
        for model in (DailyTotal, Total, JournalEntry):
            model.objects.all().delete()
        newest = Sale.objects.order_by("-received_at").values_list("received_at", flat=True).first()
        write_totals(daily, sum_over_days(daily), newest)


def _every_sale(advance: Callable[[int], object], chunk: int = 10_000) -> Iterator[tuple[CategoryDay, int, Decimal]]:
    rows = Sale.objects.values_list("category", "date_payment", "revenue").iterator(chunk_size=chunk)
    number = 0
    for number, (category, paid_at, revenue) in enumerate(rows, start=1):
        yield (category, paid_at.date()), 1, revenue
        if number % chunk == 0:
            advance(chunk)
    advance(number % chunk)
