"""Prepare the figures on the back office's first page: cards, the chart of 30 days, its table, and lists."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from analytics.definitions.headers import Chart
from analytics.output.charts import report_chart
from sales.backoffice.links import sales_url
from sales.models import Sale
from sales.totals.country_totals import TradeFigures
from sales.totals.feedback import CategoryFeedback
from sales.totals.figures import ZERO
from sales.totals.overview import CategorySales, Period, PeriodFigures, change_in_percent
from salesengine.backoffice.charts import ChartFigure
from salesengine.backoffice.numbers import count, money_text

NO_CATEGORY = "no category"
DAILY_CHART = Chart(type="stacked", x="day", y=("revenue",), series="category")


@dataclass(frozen=True)
class Change:
    """How a figure differs from the one of the previous period. `arrow` is for sighted users only."""

    arrow: str
    words: str
    kind: str = "none"  # a class of home.css: up, down or none


@dataclass(frozen=True)
class Card:
    """The figures of one period, compared with the period before."""

    title: str
    days: str
    days_before: str
    sales: int
    sales_change: Change
    revenue: Decimal
    revenue_change: Change
    average: Decimal | None
    average_change: Change
    url: str  # of the period's sales


@dataclass(frozen=True)
class ListRow:
    """A row of a list: a name, its figures, and the URL of its sales."""

    name: str
    sales: int
    revenue: Decimal
    url: str


def card(figures: CategorySales, period: Period, title: str) -> Card:
    now, before = figures.total(period), figures.total(period.previous)
    average_before = before.average or Decimal(0)
    return Card(
        title=title,
        days=period_text(period),
        days_before=period_text(period.previous),
        sales=now.sales,
        sales_change=_change(Decimal(now.sales), Decimal(before.sales), count(before.sales), before),
        revenue=now.revenue,
        revenue_change=_change(now.revenue, before.revenue, money_text(before.revenue), before),
        average=now.average,
        average_change=_change(now.average, average_before, money_text(average_before), before),
        url=period_url(period),
    )


def period_text(period: Period) -> str:
    return f"{period.first}" if period.first == period.last else f"{period.first} to {period.last}"


def period_url(period: Period, **filters: str) -> str:
    """Return the list of a period's sales, filtered by fields of a sale."""
    return sales_url({"start": period.first, "end": period.last, **filters})


def _change(now: Decimal | None, before: Decimal, before_text: str, figures_before: PeriodFigures) -> Change:
    """Compare two figures in words, with a percentage where that means something."""
    if not figures_before.sales:
        return Change("", "no sales before")
    if now is None:
        return Change("", f"before {before_text}")
    if now == before:
        return Change("=", "the same as before")
    percentage = change_in_percent(now, before)
    if percentage is None:
        return Change("", f"before {before_text}")
    arrow, word, kind = ("▲", "more", "up") if now > before else ("▼", "less", "down")
    size = f"{abs(percentage):,.1f} %" if percentage else "less than 0.1 %"
    return Change(arrow, f"{size} {word} than {before_text}", kind)


# The chart


@dataclass(frozen=True)
class DailyTable:
    """The chart's numbers as a table: the revenue of each day and category."""

    headings: Sequence[str]
    rows: Sequence[tuple[date, str, Sequence[Decimal]]]  # a day, the URL of its sales, and its revenues


def daily_chart(figures: CategorySales, period: Period) -> ChartFigure | None:
    """Return the revenue by day, stacked by category. Days without sales are zero."""
    days = {day: period_url(Period(day, day)) for day in period.days}
    rows, urls = [], []
    for category in figures.categories(period):
        filter_query = sales_url({"category": category}).partition("?")[2]
        for day, url in days.items():
            rows.append((day, category or NO_CATEGORY, figures.daily.get((category, day), ZERO)[1]))
            urls.append(("", "", f"{url}&{filter_query}"))
    return report_chart(
        DAILY_CHART,
        ["day", "category", "revenue"],
        rows,
        title=f"Revenue by day and category, {period_text(period)}",
        formats={"revenue": "money"},
        urls=urls,
    )


def daily_table(figures: CategorySales, period: Period) -> DailyTable:
    """Return the same numbers as `daily_chart`, the newest day first."""
    categories = figures.categories(period)
    rows = []
    for day in reversed(period.days):
        revenues = [figures.daily.get((category, day), ZERO)[1] for category in categories]
        total = figures.total(Period(day, day)).revenue
        rows.append((day, period_url(Period(day, day)), [total, *revenues]))
    return DailyTable(["All", *(category or NO_CATEGORY for category in categories)], rows)


# Lists


def category_row(top: CategoryFeedback) -> ListRow:
    return ListRow(top.category, top.sales_count, top.total_revenue, sales_url({"category": top.category}))


def country_row(figures: TradeFigures, period: Period, names: Mapping[str, str]) -> ListRow:
    """Return the row of a country or of a pair. A country without a name is shown by its id."""
    ids = {"id_seller_country": figures.seller, "id_buyer_country": figures.buyer}
    filters = {field: id_country for field, id_country in ids.items() if id_country is not None}
    name = " → ".join(names.get(id_country, id_country) for id_country in filters.values())
    return ListRow(name, figures.sales_count, figures.revenue, period_url(period, **filters))


@dataclass(frozen=True)
class SaleRow:
    """A row of the latest sales."""

    sale: Sale
    countries: str


def sale_row(sale: Sale, names: Mapping[str, str]) -> SaleRow:
    seller, buyer = sale.seller_country_id, sale.buyer_country_id
    return SaleRow(sale, f"{names.get(seller, seller)} → {names.get(buyer, buyer)}")
