"""The pages of buyers and sellers, and the related sales on a sale's page."""

import datetime
from calendar import monthrange
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import unquote

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from countries.models import Country
from sales.backoffice.links import sales_url, trader_url
from sales.backoffice.sale_search import fetch_in_order, find_page, with_country_names
from sales.backoffice.trader_history import BUYER, SELLER, Breakdown, History, Side, history
from sales.models import Sale
from sales.totals.archives import archived_months, archived_sentence
from salesengine.backoffice.charts import ChartFigure, Point, Series
from salesengine.backoffice.numbers import money_text
from salesengine.operations.statement_timeout import StatementTimedOut, statement_timeout
from salesengine.plurals import counted

HISTORY_TIMEOUT = 5  # seconds
HISTORY_LIMIT = 5_000  # sales: more are added up on demand, because they are scattered over the table
NEWEST_LIMIT = 15  # sales on a trader's page
NEWEST_ON_SALE_PAGE = 5  # sales of each trader
ORDER_LINES_LIMIT = 50  # lines of the same order on a sale's page
COUNTRIES_LIMIT = 15


class BreakdownRow(NamedTuple):
    """A group of sales in a table, and the URL of these sales."""

    title: str
    number: int
    revenue: Decimal
    url: str


class TraderSummary(NamedTuple):
    """One buyer or seller on a page. `history` is None if it was not added up.

    `sales_count` is not above HISTORY_LIMIT + 1 then.
    """

    side: Side
    trader_id: str
    sales_count: int
    history: History | None
    newest: list[Sale]
    is_timed_out: bool = False

    @property
    def how_many(self) -> str:
        if self.sales_count > HISTORY_LIMIT:
            return f"more than {counted(HISTORY_LIMIT, 'sale')}"
        return counted(self.sales_count, "sale")

    @property
    def page_url(self) -> str:
        return trader_url(self.side.name, self.trader_id)

    @property
    def sales_url(self) -> str:
        return sales_url({self.side.column: self.trader_id})


def buyer_page(request: HttpRequest, trader_id: str) -> HttpResponse:
    return _trader_page(request, BUYER, unquote(trader_id))


def seller_page(request: HttpRequest, trader_id: str) -> HttpResponse:
    return _trader_page(request, SELLER, unquote(trader_id))


def _trader_page(request: HttpRequest, side: Side, trader_id: str) -> HttpResponse:
    """Show a trader to users who may view sales. The query parameter `figures` adds up any number of sales."""
    if not request.user.has_perm("sales.view_sale"):
        raise PermissionDenied
    trader = _summarize(side, trader_id, add_up="figures" in request.GET)
    archived = archived_sentence(archived_months())
    if not trader.sales_count:
        if not archived or "\0" in trader_id:
            raise Http404(f"The {side.name} {trader_id!r} has no sales.")
        messages.warning(request, f"The {side.name} {trader_id} has no sales outside the archives.")
        return HttpResponseRedirect(trader.sales_url)  # which names the archived months
    context = {
        **admin.site.each_context(request),
        "title": f"{side.name.capitalize()} {trader_id}",
        "crumbs": [{"title": "Sales", "url": reverse("admin:sales_sale_changelist")}],
        "trader": trader,
        "timeout": HISTORY_TIMEOUT,
        "archived": archived,
    }
    if trader.history:
        context |= _breakdowns(side, trader_id, trader.history)
    return TemplateResponse(request, "admin/sales/trader.html", context)


def _summarize(side: Side, trader_id: str, *, add_up: bool) -> TraderSummary:
    if "\0" in trader_id:  # PostgreSQL's text cannot contain it
        return TraderSummary(side, trader_id, 0, None, [])
    with statement_timeout(HISTORY_TIMEOUT):
        number, added_up = history(side, trader_id, NEWEST_LIMIT, HISTORY_LIMIT)
    is_timed_out = False
    if add_up and number > HISTORY_LIMIT:
        try:
            with statement_timeout(HISTORY_TIMEOUT):
                _, added_up = history(side, trader_id, NEWEST_LIMIT)
        except StatementTimedOut:
            is_timed_out = True
    if added_up or not number:
        keys = added_up.newest if added_up else []
    else:
        keys = find_page(Sale.objects.filter(**{side.column: trader_id}), Sale.objects.all(), size=NEWEST_LIMIT).keys
    return TraderSummary(side, trader_id, number, added_up, fetch_in_order(keys), is_timed_out)


def related_sales(sale: Sale) -> dict[str, Any]:
    """Return the template context for the other lines of a sale's order, its buyer and its seller."""
    order = {"id_order": sale.id_order}
    context: dict[str, Any] = {"order_url": sales_url(order), "timeout": HISTORY_TIMEOUT}
    traders = ((BUYER, sale.id_buyer), (SELLER, sale.id_seller))
    try:
        with statement_timeout(HISTORY_TIMEOUT):
            other_lines = Sale.objects.filter(**order).exclude(pk=sale.pk).order_by("date_payment", "id")
            lines = list(with_country_names(other_lines)[: ORDER_LINES_LIMIT + 1])
            found = [history(*trader, NEWEST_ON_SALE_PAGE, HISTORY_LIMIT) for trader in traders]
            keys = [key for _, added_up in found if added_up for key in added_up.newest]
            by_id = {row.pk: row for row in fetch_in_order(keys)}
    except StatementTimedOut:
        return context | {"is_timed_out": True}
    return context | {
        "lines": lines[:ORDER_LINES_LIMIT],
        "has_more_lines": len(lines) > ORDER_LINES_LIMIT,
        "traders": [
            TraderSummary(
                *trader,
                number,
                added_up,
                # A sale may have been voided since its key was read.
                [by_id[key.id] for key in added_up.newest if key.id in by_id] if added_up else [],
            )
            for trader, (number, added_up) in zip(traders, found, strict=True)
        ],
    }


def _breakdowns(side: Side, trader_id: str, added_up: History) -> dict[str, Any]:
    """Return the template context for the chart and the tables of a trader's page. Each number links to its sales."""
    country_names = dict(Country.objects.values_list("id_country", "country_name"))
    filters: dict[str, object] = {side.column: trader_id}

    def rows(groups: Breakdown, field: str, names: dict[str, str]) -> list[BreakdownRow]:
        return [
            BreakdownRow(names.get(key, key or "none"), *figures, sales_url(filters | {field: key}))
            for key, figures in groups
        ]

    months = [
        BreakdownRow(month.isoformat()[:7], *figures, sales_url(filters | _days_of(month)))
        for month, figures in added_up.months
    ]
    own, other = f"id_{side.name}_country", f"id_{side.other}_country"
    return {
        "months": months,
        "chart": _chart(months),
        "own_countries": rows(added_up.own_countries, own, country_names),
        "tables": [
            ("Categories", "Category", rows(added_up.categories, "category", {})),
            (
                f"Countries of the {side.other}s",
                "Country",
                rows(added_up.other_countries[:COUNTRIES_LIMIT], other, country_names),
            ),
        ],
        "more_countries": max(len(added_up.other_countries) - COUNTRIES_LIMIT, 0),
    }


def _days_of(month: datetime.date) -> dict[str, object]:
    return {"start": month, "end": month.replace(day=monthrange(month.year, month.month)[1])}


def _chart(months: list[BreakdownRow]) -> ChartFigure:
    """Return a bar chart of revenue by month. Each bar links to the month's sales."""
    return ChartFigure(
        "bar",
        description=f"Bar chart of revenue by month, {months[0].title} to {months[-1].title}.",
        labels=[month.title for month in months],
        measure="Revenue",
        series=[Series("Revenue", [Point(month.revenue, money_text(month.revenue), month.url) for month in months])],
    )
