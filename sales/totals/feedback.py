"""Which categories sell most: aggregated in Python, at a cost that does not grow with the sales.

Each batch of sales appends its figures per category and payment day to a journal, in its own transaction. Folding moves
journal entries into totals. Whoever reads takes totals and journal from one snapshot: together they are every committed
sale exactly once, whatever writers and folds do meanwhile.
"""

import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation, localcontext
from typing import Any, NamedTuple, TypeVar

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import BigIntegerField, Q, QuerySet, Value

from sales.models import DailyTotal, JournalEntry, Sale, Total
from sales.totals import minutes as ingest_counts
from salesengine.http.renderers import encode_json

TOP = 3
FOLD_EVERY = 256  # journal entries
FOLD_AT_MOST = 20_000  # journal entries in one go
FOLD_LOCK = 0x53414C45  # this project's number among PostgreSQL's advisory locks

# A revenue has up to 15 digits before the point and 20 after it: Python's usual 28 digits would round their sum. Here a
# sum has room for 10^29 of the largest, and rounding would be an error.
EXACT = Context(prec=64, traps=[Inexact, InvalidOperation])

Key = TypeVar("Key")
Figures = tuple[int, Decimal]  # number of sales, and their revenue
CategoryDay = tuple[str | None, datetime.date]  # the day of payment, UTC
ZERO: Figures = (0, Decimal(0))


def add_up(rows: Iterable[tuple[Key, int, Decimal]]) -> dict[Key, Figures]:
    """Rows of (key, number of sales, revenue) -> the exact sums of each key."""
    sums: dict[Key, Figures] = {}
    with localcontext(EXACT):
        for key, count, revenue in rows:
            known_count, known_revenue = sums.get(key, ZERO)
            sums[key] = (known_count + count, known_revenue + revenue)
    return sums


# Reading


@dataclass(frozen=True)
class FeedbackQuery:
    """Which sales count: of one category or of all, paid from `start` on and before `stop` (None: no limit), UTC."""

    category: str | None = None
    start: datetime.datetime | None = None
    stop: datetime.datetime | None = None


@dataclass(frozen=True)
class CategoryFeedback:
    """One category's answer, in the API's names."""

    category: str
    sales_count: int
    total_revenue: Decimal


def top_categories(query: FeedbackQuery) -> list[CategoryFeedback]:
    """The at most three categories with the most sales among those asked for; ties by revenue, then by name."""
    return rank(add_up(_rows(query)))


def rank(figures: Mapping[str, Figures]) -> list[CategoryFeedback]:
    """The top three of categories with their figures."""
    answers = [CategoryFeedback(category, *each) for category, each in figures.items()]
    answers.sort(key=lambda answer: (-answer.sales_count, -answer.total_revenue, answer.category))
    return answers[:TOP]


def days_figures(start: datetime.date | None, stop: datetime.date | None, which: Q) -> Figures:
    """Number and revenue of all sales paid on these days (`stop` not included) in UTC, of the categories `which`."""
    totals, journal = (
        model.objects.filter(between("day", start, stop), which).values_list("sales_count", "revenue")
        for model in (DailyTotal, JournalEntry)
    )
    return add_up((None, *row) for row in totals.union(journal, all=True)).get(None, ZERO)


def _rows(query: FeedbackQuery) -> Iterable[tuple[str, int, Decimal]]:
    """Rows of (category, number of sales, revenue) that together are the sales asked for, from one snapshot."""
    first, *others = _sources(query)
    # One statement sees one snapshot. Two would count a fold between them twice, or not at all.
    return first.union(*others, all=True) if others else first


def _sources(query: FeedbackQuery) -> list[QuerySet[Any, Any]]:
    """Whole days come from totals and journal, the parts of days at the edges from the sales themselves."""
    sources: list[QuerySet[Any, Any]]
    if query.start is None and query.stop is None:
        sources = [Total.objects.all(), JournalEntry.objects.all()]
    else:
        days, edges = split_period(query.start, query.stop)
        sources = [Sale.objects.filter(between("date_payment", *edge)) for edge in edges]
        sources = [sales.annotate(sales_count=Value(1, BigIntegerField())) for sales in sources]
        if days is not None:
            sources += [model.objects.filter(between("day", *days)) for model in (DailyTotal, JournalEntry)]
    wanted = Q(category=query.category) if query.category else Q(category__isnull=False)
    return [source.filter(wanted).values_list("category", "sales_count", "revenue") for source in sources]


def between(field: str, start: datetime.date | None, stop: datetime.date | None) -> Q:
    """`start` included, `stop` not; None is no limit."""
    limits = {f"{field}__gte": start, f"{field}__lt": stop}
    return Q(**{lookup: limit for lookup, limit in limits.items() if limit is not None})


DayPeriod = tuple[datetime.date | None, datetime.date | None]
MomentPeriod = tuple[datetime.datetime | None, datetime.datetime | None]


def split_period(
    start: datetime.datetime | None, stop: datetime.datetime | None
) -> tuple[DayPeriod | None, list[MomentPeriod]]:
    """A period in UTC (`start` included, `stop` not) -> its whole days (None: none) and the parts at its edges."""
    first_day = start and start.date()
    last_day = stop and stop.date()  # not included
    if start and first_day and start != midnight(first_day):
        if first_day in (last_day, datetime.date.max):
            return None, [(start, stop)]
        first_day += datetime.timedelta(days=1)
    edges: list[MomentPeriod] = []
    if start and first_day and start != midnight(first_day):
        edges.append((start, midnight(first_day)))
    if stop and last_day and stop != midnight(last_day):
        edges.append((midnight(last_day), stop))
    return (None if first_day and first_day == last_day else (first_day, last_day)), edges


def midnight(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time.min, datetime.UTC)


class Watermark(NamedTuple):
    """How much there is to read: the number of all sales, and when the newest of them was received (None: never)."""

    sales: int
    received_at: datetime.datetime | None


def watermark(using: str = "default") -> Watermark:
    """The watermark as totals and journal know it, from one snapshot: every sale that is committed, and no other."""
    totals, journal = (
        model.objects.using(using).values_list("sales_count", "received_at") for model in (Total, JournalEntry)
    )
    rows = list(totals.union(journal, all=True))
    return Watermark(sum(count for count, _ in rows), max((moment for _, moment in rows), default=None))


# Writing


# Figures go to PostgreSQL as JSON, which costs a third of what model instances do. Their one parameter is made by
# `journal_entries`; the first stands in the transaction, if not in the statement, that stores the batch.
ENTRIES = "json_to_recordset(%s) AS entry (category text, day date, sales_count bigint, revenue numeric)"
APPEND_TO_JOURNAL = f"""
    INSERT INTO feedback_journal (category, day, sales_count, revenue)
    SELECT category, day, sales_count, revenue FROM {ENTRIES}
    RETURNING id
    """  # noqa: S608  # no values
WRITE_DAILY_TOTALS = f"""
    INSERT INTO feedback_daily_total (category, day, sales_count, revenue)
    SELECT category, day, sales_count, revenue FROM {ENTRIES}
    ON CONFLICT (day, category) DO UPDATE SET sales_count = excluded.sales_count, revenue = excluded.revenue
    """  # noqa: S608  # no values
WRITE_TOTALS = f"""
    INSERT INTO feedback_total (category, sales_count, revenue, received_at)
    SELECT category, sales_count, revenue, %s FROM {ENTRIES}
    ON CONFLICT (category) DO UPDATE SET sales_count = excluded.sales_count, revenue = excluded.revenue,
        received_at = greatest(feedback_total.received_at, excluded.received_at)
    """  # noqa: S608  # no values
# Exactly the rows that are read are deleted.
TAKE_FROM_JOURNAL = """
    DELETE FROM feedback_journal WHERE id IN (SELECT id FROM feedback_journal ORDER BY id LIMIT %s)
    RETURNING category, day, sales_count, revenue, received_at
    """


def journal_entries(figures: Mapping[CategoryDay, Figures] | Mapping[tuple[str | None, None], Figures]) -> str:
    """Figures per category and day, as JSON."""
    entries = [
        {"category": category, "day": day, "sales_count": count, "revenue": revenue}
        for (category, day), (count, revenue) in figures.items()
    ]
    return encode_json(entries).decode()


def fold_if_due(entry_ids: Iterable[int]) -> None:
    """Fold after about every 256th journal entry, so that the journal stays short."""
    if any(entry_id % FOLD_EVERY == 0 for entry_id in entry_ids):
        while fold() == FOLD_AT_MOST:
            pass


def fold() -> int:
    """Move journal entries into the totals; how many were moved (0 also while somebody else folds: nobody waits)."""
    with transaction.atomic(), connection.cursor() as cursor:
        if not may_fold(cursor):
            return 0
        cursor.execute(TAKE_FROM_JOURNAL, [FOLD_AT_MOST])
        entries = cursor.fetchall()
        daily = add_up(((category, day), count, revenue) for category, day, count, revenue, _ in entries)
        old_daily = DailyTotal.objects.filter(day__in={day for _, day in daily})
        _write_daily_totals(_added(daily, _daily_figures(old_daily)))
        overall = add_up((category, count, revenue) for category, _, count, revenue, _ in entries)
        newest = max((received_at for *_, received_at in entries), default=None)
        _write_totals(_added(overall, _overall_figures(Total.objects.all())), newest)
        ingest_counts.fold((received_at, count) for _, _, count, _, received_at in entries)
    return len(entries)


def may_fold(cursor: CursorWrapper) -> bool:
    """Whether this transaction may fold; if so, nobody else may until it ends."""
    cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [FOLD_LOCK])
    allowed: bool = cursor.fetchone()[0]
    return allowed


def _added(new: Mapping[Key, Figures], old: Iterable[tuple[Key, int, Decimal]]) -> dict[Key, Figures]:
    """The keys of `new` with what `old` has for them added."""
    rows = [(key, *figures) for key, figures in new.items()]
    return add_up(rows + [row for row in old if row[0] in new])


def _daily_figures(source: QuerySet[Any]) -> Iterator[tuple[CategoryDay, int, Decimal]]:
    rows = source.values_list("category", "day", "sales_count", "revenue")
    return (((category, day), count, revenue) for category, day, count, revenue in rows)


def _overall_figures(source: QuerySet[Any]) -> Iterator[tuple[str | None, int, Decimal]]:
    return iter(source.values_list("category", "sales_count", "revenue"))


def _write_daily_totals(figures: Mapping[CategoryDay, Figures]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(WRITE_DAILY_TOTALS, [journal_entries(figures)])


def _write_totals(figures: Mapping[str | None, Figures], newest: datetime.datetime | None) -> None:
    """Write totals of sales, the newest of which was received at that moment."""
    entries = journal_entries({(category, None): each for category, each in figures.items()})
    with connection.cursor() as cursor:
        cursor.execute(WRITE_TOTALS, [newest, entries])


# Checking


@dataclass(frozen=True)
class Difference:
    """A figure that is not what the sales add up to; `day` None is all time."""

    category: str | None
    day: datetime.date | None
    kept: Figures
    true: Figures


def verify(advance: Callable[[int], object] = lambda sales: None) -> list[Difference]:
    """Add up every sale again and compare; [] when every figure is right. Writers and folds go on meanwhile.

    `advance` is told the number of sales read since it was last called.
    """
    with snapshot(read_only=True):
        daily = add_up(row for model in (DailyTotal, JournalEntry) for row in _daily_figures(model.objects.all()))
        overall = add_up(row for model in (Total, JournalEntry) for row in _overall_figures(model.objects.all()))
        true_daily = add_up(_every_sale(advance))
    true_overall = _over_all_days(true_daily)
    differences = [
        Difference(category, None, overall.get(category, ZERO), true_overall.get(category, ZERO))
        for category in overall.keys() | true_overall.keys()
    ]
    differences += [
        Difference(category, day, daily.get((category, day), ZERO), true_daily.get((category, day), ZERO))
        for category, day in daily.keys() | true_daily.keys()
    ]
    wrong = [difference for difference in differences if difference.kept != difference.true]
    return sorted(wrong, key=lambda each: (each.day or datetime.date.min, each.category or ""))


def repair(advance: Callable[[int], object] = lambda sales: None) -> None:
    """Build the totals anew from the sales. Folds stand back meanwhile; writers go on.

    What is committed after the snapshot is in neither the new totals nor the entries deleted: it stays in the journal.
    """
    with no_folds(), snapshot():
        daily = add_up(_every_sale(advance))
        ingest_counts.fold(JournalEntry.objects.values_list("received_at", "sales_count"))
        for model in (DailyTotal, Total, JournalEntry):
            model.objects.all().delete()
        _write_daily_totals(daily)
        newest = Sale.objects.order_by("-received_at").values_list("received_at", flat=True).first()
        _write_totals(_over_all_days(daily), newest)


def _over_all_days(daily: Mapping[CategoryDay, Figures]) -> dict[str | None, Figures]:
    return add_up((category, *figures) for (category, _), figures in daily.items())


def _every_sale(advance: Callable[[int], object], chunk: int = 10_000) -> Iterator[tuple[CategoryDay, int, Decimal]]:
    rows = Sale.objects.values_list("category", "date_payment", "revenue").iterator(chunk_size=chunk)
    number = 0
    for number, (category, paid, revenue) in enumerate(rows, start=1):
        yield (category, paid.date()), 1, revenue
        if number % chunk == 0:
            advance(chunk)
    advance(number % chunk)


@contextmanager
def snapshot(*, read_only: bool = False) -> Iterator[None]:
    """A transaction whose every statement sees what was committed before its first."""
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute(f"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ {'ONLY' if read_only else 'WRITE'}")
        yield


@contextmanager
def no_folds() -> Iterator[None]:
    """Nobody folds meanwhile. Held by the session, not a transaction: waiting for it must come before the snapshot."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [FOLD_LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [FOLD_LOCK])
