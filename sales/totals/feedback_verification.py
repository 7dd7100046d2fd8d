"""Check the feedback's totals against the sales, and rebuild them."""

import datetime
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, localcontext

from django.db import transaction
from django.utils import timezone

from sales.models import DailyTotal, JournalEntry, Sale, Total
from sales.totals.feedback_folding import (
    CategoryTotal,
    add_old_figures,
    daily_figures,
    overall_figures,
    sum_over_days,
    write_totals,
)
from sales.totals.figures import EXACT, ZERO, CategoryDay, Difference, Figures, add_up
from sales.totals.isolation import FOLD_LOCK, REPAIR_LOCK, session_lock, snapshot

FigureKey = CategoryDay | CategoryTotal


def verify(advance: Callable[[int], object] = lambda sales: None) -> list[Difference]:
    """Add up every sale and return the figures that differ. Writers and folds may run meanwhile.

    Calls `advance` with the number of sales read since the last call.
    """
    differences = _compare(advance)
    keys = sorted(differences, key=lambda key: (key[1] or datetime.date.min, key[0] or ""))
    return [Difference(f"{key[0] or 'no category'}, {key[1] or 'all time'}", *differences[key]) for key in keys]


def repair(advance: Callable[[int], object] = lambda sales: None) -> None:
    """Correct the totals. Writers and folds may run meanwhile, except that folds wait for the last short transaction.

    What is stored after the comparison is added to the totals as usual, so that the same corrections remain right.
    Calls `advance` as `verify` does.
    """
    with session_lock(REPAIR_LOCK):
        differences = _compare(advance)
        with localcontext(EXACT):
            corrections = {
                key: (expected[0] - stored[0], expected[1] - stored[1])
                for key, (stored, expected) in differences.items()
            }
        with session_lock(FOLD_LOCK), transaction.atomic():
            _correct_totals(corrections)


def _compare(advance: Callable[[int], object]) -> dict[FigureKey, tuple[Figures, Figures]]:
    """Return the stored and the expected figures where they differ, by category and day, and by category."""
    with snapshot():
        daily = add_up(row for model in (DailyTotal, JournalEntry) for row in daily_figures(model.objects.all()))
        overall = add_up(row for model in (Total, JournalEntry) for row in overall_figures(model.objects.all()))
        expected_daily = add_up(_every_sale(advance))
    stored = daily | overall
    expected = expected_daily | sum_over_days(expected_daily)
    pairs = {key: (stored.get(key, ZERO), expected.get(key, ZERO)) for key in stored.keys() | expected.keys()}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _correct_totals(corrections: Mapping[FigureKey, Figures]) -> None:
    """Add the corrections to the totals, in the caller's transaction."""
    daily = {(category, day): figures for (category, day), figures in corrections.items() if day}
    overall = {(category, None): figures for (category, day), figures in corrections.items() if not day}
    old_daily = DailyTotal.objects.filter(day__in={day for _, day in daily})
    newest = Sale.objects.order_by("-received_at").values_list("received_at", flat=True).first()
    write_totals(
        add_old_figures(daily, daily_figures(old_daily)),
        add_old_figures(overall, overall_figures(Total.objects.all())),
        newest or timezone.now(),
    )
    for model in (DailyTotal, Total):
        model.objects.filter(sales_count=0, revenue=0).delete()
    if newest:
        Total.objects.update(received_at=newest)


def _every_sale(advance: Callable[[int], object], chunk: int = 10_000) -> Iterator[tuple[CategoryDay, int, Decimal]]:
    rows = Sale.objects.values_list("category", "date_payment", "revenue").iterator(chunk_size=chunk)
    number = 0
    for number, (category, paid_at, revenue) in enumerate(rows, start=1):
        yield (category, paid_at.date()), 1, revenue
        if number % chunk == 0:
            advance(chunk)
    advance(number % chunk)
