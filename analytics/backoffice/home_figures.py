"""How the first page of the back office tells what sold: cards, the chart of 30 days, and the same as a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.utils.safestring import SafeString

from analytics.backoffice.results import money
from analytics.definitions.headers import Chart
from analytics.output.charts import chart_svg
from sales.backoffice.links import sales_url
from sales.models import Sale
from sales.totals.country_totals import TradeFigures
from sales.totals.feedback import CategoryFeedback
from sales.totals.figures import ZERO
from sales.totals.overview import CategorySales, Period, PeriodFigures, change_in_percent

NONE = "-"  # as in the rest of the admin
NO_CATEGORY = "no category"
CHART = Chart(type="stacked", x="day", y=("revenue",), series="category")


@dataclass(frozen=True)
class Amount:
    """Money as it is read at a glance, and to its last digit."""

    text: str
    exact: str

    @classmethod
    def of(cls, value: Decimal) -> "Amount":
        return cls(f"{value:z,.2f}", money(value))


@dataclass(frozen=True)
class Change:
    """A figure beside the one of the period before, in words; `arrow` repeats them for the eye."""

    arrow: str
    words: str
    kind: str = "none"  # a class of home.css: up, down or none


@dataclass(frozen=True)
class Card:
    """The figures of one period."""

    title: str
    days: str
    before: str  # the period that they are compared with
    sales: str
    sales_change: Change
    revenue: Amount
    revenue_change: Change
    average: Amount | None
    average_change: Change
    address: str  # of its sales


@dataclass(frozen=True)
class Row:
    """A line of one of the lists: a name, its figures, and the sales that they are made of."""

    name: str
    sales: str
    revenue: Amount
    address: str


def card(figures: CategorySales, period: Period, title: str) -> Card:
    now, before = figures.total(period), figures.total(period.previous)
    return Card(
        title=title,
        days=period_text(period),
        before=period_text(period.previous),
        sales=f"{now.sales:,}",
        sales_change=_change(Decimal(now.sales), Decimal(before.sales), f"{before.sales:,}", before),
        revenue=Amount.of(now.revenue),
        revenue_change=_change(now.revenue, before.revenue, f"{before.revenue:z,.2f}", before),
        average=None if now.average is None else Amount.of(now.average),
        average_change=_change(now.average, before.average or Decimal(0), f"{before.average or 0:z,.2f}", before),
        address=period_address(period),
    )


def period_text(period: Period) -> str:
    return f"{period.first}" if period.first == period.last else f"{period.first} to {period.last}"


def period_address(period: Period, **filters: str) -> str:
    return sales_url({"start": period.first, "end": period.last, **filters})


def _change(now: Decimal | None, before: Decimal, before_text: str, sold_before: PeriodFigures) -> Change:
    """Where a percentage would say nothing, only what it was before."""
    if not sold_before.sales:
        return Change("", "no sales before")
    if now is None:
        return Change("", f"before {before_text}")
    if now == before:
        return Change("=", "the same as before")
    percent = change_in_percent(now, before)
    if percent is None:
        return Change("", f"before {before_text}")
    arrow, word, kind = ("▲", "more", "up") if now > before else ("▼", "less", "down")
    size = f"{abs(percent):,.1f} %" if percent else "less than 0.1 %"
    return Change(arrow, f"{size} {word} than {before_text}", kind)


# The chart


@dataclass(frozen=True)
class DailyTable:
    """The revenue of each day and category to the last digit: what the chart shows, and for whom it shows nothing."""

    headings: Sequence[str]
    rows: Sequence[tuple[date, str, Sequence[str]]]  # a day, the address of its sales, and its revenue


def chart(figures: CategorySales, period: Period) -> SafeString | None:
    """Revenue by day, stacked by category; a day on which nothing was sold has its place, too."""
    rows = [
        (day, category or NO_CATEGORY, figures.daily.get((category, day), ZERO)[1])
        for category in figures.categories(period)
        for day in period.days
    ]
    title = f"Revenue by day and category, {period_text(period)}"
    return chart_svg(CHART, ["day", "category", "revenue"], rows, title=title, formats={"revenue": "money"})


def daily_table(figures: CategorySales, period: Period) -> DailyTable:
    """The newest day first."""
    categories = figures.categories(period)
    rows = []
    for day in reversed(period.days):
        revenues = [figures.daily.get((category, day), ZERO)[1] for category in categories]
        total = figures.total(Period(day, day)).revenue
        rows.append((day, period_address(Period(day, day)), [money(revenue) for revenue in (total, *revenues)]))
    return DailyTable(["All", *(category or NO_CATEGORY for category in categories)], rows)


# Lists


def category_row(top: CategoryFeedback) -> Row:
    address = sales_url({"category": top.category})
    return Row(top.category, f"{top.sales_count:,}", Amount.of(top.total_revenue), address)


def country_row(figures: TradeFigures, period: Period, names: Mapping[str, str]) -> Row:
    """A country, or a pair of them; an id that has no name stands for itself."""
    ids = {"id_seller_country": figures.seller, "id_buyer_country": figures.buyer}
    given = {field: id_country for field, id_country in ids.items() if id_country is not None}
    name = " → ".join(names.get(id_country, id_country) for id_country in given.values())
    return Row(name, f"{figures.sales_count:,}", Amount.of(figures.revenue), period_address(period, **given))


@dataclass(frozen=True)
class SaleRow:
    """One of the latest sales."""

    sale: Sale
    countries: str
    revenue: Amount


def sale_row(sale: Sale, names: Mapping[str, str]) -> SaleRow:
    seller, buyer = sale.seller_country_id, sale.buyer_country_id
    return SaleRow(sale, f"{names.get(seller, seller)} → {names.get(buyer, buyer)}", Amount.of(sale.revenue))
