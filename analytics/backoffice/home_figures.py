"""Prepare the sales figures on the home page: cards, the chart of 30 days, its table, and lists."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from analytics.definitions.headers import Chart
from analytics.output.charts import report_chart
from sales.backoffice.links import sales_url
from sales.totals.country_totals import TradeFigures
from sales.totals.feedback import CategoryFeedback
from sales.totals.figures import ZERO
from sales.totals.overview import CategorySales, Period, PeriodFigures, change_in_percent
from salesengine.backoffice.charts import ChartFigure
from salesengine.backoffice.numbers import count, money_text, percent

NO_CATEGORY = "no category"
DAILY_CHART = Chart(type="stacked", x="day", y=("revenue",), series="category")


class Change(NamedTuple):
    """How a figure differs from the one of the previous period. `arrow` is for sighted users only."""

    arrow: str
    words: str
    kind: str = "none"  # a class of home.css: up, down or none


class ListRow(NamedTuple):
    """A row of a list: a name, its figures, and the URL of its sales."""

    name: str
    sales: int
    revenue: Decimal
    url: str
    color: str = ""  # in the chart, if it has one there


def card(figures: CategorySales, period: Period, title: str, today: date) -> dict[str, Any]:
    """Return the figures of a period, each with its change from the period before, for the page's context.

    Today is not over, so its figures are not compared. They only have those of yesterday beside them.
    """
    now, before = figures.total(period), figures.total(period.previous)
    yesterday = period.previous.first if period.first == today else None
    return {
        "title": title,
        "days": period_text(period),
        "days_before": "" if yesterday else period_text(period.previous),
        "figures": now,
        "changes": _changes(now, before, yesterday),
        "url": _period_url(period),
    }


def period_text(period: Period) -> str:
    return f"{period.first}" if period.first == period.last else f"{period.first} to {period.last}"


def _period_url(period: Period, **filters: str) -> str:
    """Return the list of a period's sales, filtered by fields of a sale."""
    return sales_url({"start": period.first, "end": period.last, **filters})


def _changes(now: PeriodFigures, before: PeriodFigures, yesterday: date | None) -> dict[str, Change]:
    """Compare the figures in words. With `yesterday`, only say what its figures were."""
    if before.average is None:  # no sales
        return dict.fromkeys(("revenue", "sales", "average"), Change("", "no sales before"))
    texts = {
        "revenue": money_text(before.revenue),
        "sales": count(before.sales),
        "average": money_text(before.average),
    }
    if yesterday:
        return {name: Change("", f"{text} on all of {yesterday}") for name, text in texts.items()}
    return {
        "revenue": _change(now.revenue, before.revenue, texts["revenue"]),
        "sales": _change(Decimal(now.sales), Decimal(before.sales), texts["sales"]),
        "average": _change(now.average, before.average, texts["average"]),
    }


def _change(now: Decimal | None, before: Decimal, before_text: str) -> Change:
    """Compare two figures in words, with a percentage where that means something."""
    if now == before:
        return Change("=", "the same as before")
    percentage = None if now is None else change_in_percent(now, before)
    if now is None or percentage is None:
        return Change("", f"before {before_text}")
    arrow, word, kind = ("▲", "more", "up") if now > before else ("▼", "less", "down")
    size = percent(abs(percentage)) if percentage else "less than 0.1%"
    return Change(arrow, f"{size} {word} than {before_text}", kind)


def daily_revenue(figures: CategorySales, period: Period) -> dict[str, Any]:
    """Return the revenue by day and category as a chart and as a table, for the page's context.

    Days without sales are zero. A row of the table has a day, the URL of its sales, and its revenues. The newest day is
    the first row.
    """
    day_urls = {day: _period_url(Period(day, day)) for day in period.days}
    names = {category: category or NO_CATEGORY for category in figures.categories(period)}
    rows, urls = [], []
    for category in names:
        filter_query = sales_url({"category": category}).partition("?")[2]
        for day, url in day_urls.items():
            rows.append((day, category, figures.daily.get((category, day), ZERO)[1]))
            urls.append(("", "", f"{url}&{filter_query}"))
    chart = report_chart(
        DAILY_CHART,
        ["day", "category", "revenue"],
        rows,
        titles={"day": "Day", "category": "Category", "revenue": "Revenue"},
        suffix=f", {period_text(period)}",
        formats={"revenue": "money"},
        urls=urls,
    )
    table = []
    for day, url in reversed(day_urls.items()):
        revenues = [figures.daily.get((category, day), ZERO)[1] for category in names]
        table.append((day, url, [figures.total(Period(day, day)).revenue, *revenues]))
    return {"chart": chart, "daily_headings": ["All", *names.values()], "daily_rows": table}


def category_row(top: CategoryFeedback, period: Period, chart: ChartFigure) -> ListRow:
    colors = {series.name: series.color for series in chart.series}
    url = _period_url(period, category=top.category)
    return ListRow(top.category, top.sales_count, top.total_revenue, url, colors.get(top.category, ""))


def country_row(figures: TradeFigures, period: Period, names: Mapping[str | None, object]) -> ListRow:
    """Return the row of a country or of a pair. `names` has the name, or else the id, of each country."""
    ids = {"id_seller_country": figures.seller, "id_buyer_country": figures.buyer}
    filters = {field: id_country for field, id_country in ids.items() if id_country is not None}
    name = " → ".join(str(names[id_country]) for id_country in filters.values())
    return ListRow(name, figures.sales_count, figures.revenue, _period_url(period, **filters))
