"""The page of a buyer and that of a seller, and what a sale's page says of both."""

import datetime
from calendar import monthrange
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import unquote

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from countries.models import Country
from sales.backoffice.links import sales_address, trader_address
from sales.backoffice.sale_search import fetch, find_page, with_country_names
from sales.backoffice.traders import BUYER, SELLER, Breakdown, History, Side, count_sales, history
from sales.models import Sale
from salesengine.backoffice.charts import ChartFigure, Point, Series
from salesengine.backoffice.numbers import money_text
from salesengine.operations.statement_timeout import StatementTimedOut, statement_timeout

HISTORY_TIMEOUT = 5  # seconds that adding up the sales of one may take
MANY = 5_000  # sales, which are added up on demand: they lie all over the table
RECENT = 15  # sales of a buyer or seller on their page
IN_BRIEF = 5  # on a sale's page
MOST_LINES = 50  # of an order, on a sale's page
MOST_COUNTRIES = 15


class BreakdownRow(NamedTuple):
    """A row of a table: what it is of, its figures, and where its sales are."""

    title: str
    number: int
    revenue: Decimal
    address: str


class Shown(NamedTuple):
    """One buyer or seller on a page. `history` is None where they have MANY sales, or adding up took too long."""

    side: Side
    trader_id: str
    number: int  # of sales
    history: History | None
    recent: list[Sale]
    is_late: bool = False

    @property
    def page_address(self) -> str:
        return trader_address(self.side.name, self.trader_id)

    @property
    def list_address(self) -> str:
        return sales_address({self.side.column: self.trader_id})


def buyer_page(request: HttpRequest, trader_id: str) -> HttpResponse:
    return _trader_page(request, BUYER, unquote(trader_id))


def seller_page(request: HttpRequest, trader_id: str) -> HttpResponse:
    return _trader_page(request, SELLER, unquote(trader_id))


def _trader_page(request: HttpRequest, side: Side, trader_id: str) -> HttpResponse:
    """For who may view sales. With `figures` in the address MANY sales are added up, too. Raises Http404."""
    if not request.user.has_perm("sales.view_sale"):
        raise PermissionDenied
    shown = _show(side, trader_id, add_up="figures" in request.GET)
    if not shown.number:
        raise Http404(f"No sale is of the {side.name} {trader_id!r}.")
    context = {
        **admin.site.each_context(request),
        "title": f"{side.name.capitalize()} {trader_id}",
        "crumbs": [{"title": "Sales", "address": reverse("admin:sales_sale_changelist")}],
        "shown": shown,
        "patience": HISTORY_TIMEOUT,
    }
    if shown.history:
        context |= _details(side, trader_id, shown.history)
    return TemplateResponse(request, "admin/sales/trader.html", context)


def _show(side: Side, trader_id: str, *, add_up: bool) -> Shown:
    number = 0
    sales = Sale.objects.all()
    if "\0" in trader_id:
        return Shown(side, trader_id, 0, None, [])
    try:
        with statement_timeout(HISTORY_TIMEOUT):
            (number,) = count_sales((side, trader_id))
            if (add_up or number <= MANY) and (found := history(side, trader_id, RECENT)):
                return Shown(side, trader_id, number, found, fetch(found.newest, with_country_names(sales)))
    except StatementTimedOut:
        if not number:
            raise
    recent = fetch(
        find_page(sales.filter(**{side.column: trader_id}), sales, size=RECENT).ids, with_country_names(sales)
    )
    return Shown(side, trader_id, number, None, recent, is_late=add_up)


def around_sale(sale: Sale) -> dict[str, Any]:
    """What the page of a sale shows of its order, buyer and seller; nothing of them where that takes too long."""
    order = {"id_order": sale.id_order}
    context: dict[str, Any] = {"order_address": sales_address(order), "patience": HISTORY_TIMEOUT}
    people = ((BUYER, sale.id_buyer), (SELLER, sale.id_seller))
    try:
        with statement_timeout(HISTORY_TIMEOUT):
            others = Sale.objects.filter(**order).exclude(pk=sale.pk).order_by("date_payment", "id")
            lines = list(with_country_names(others)[: MOST_LINES + 1])
            shown = [
                Shown(*each, number, history(*each, IN_BRIEF) if number <= MANY else None, [])
                for each, number in zip(people, count_sales(*people), strict=True)
            ]
            newest = [sale_id for each in shown if each.history for sale_id in each.history.newest]
            by_id = {each.pk: each for each in fetch(newest, with_country_names(Sale.objects.all()))}
    except StatementTimedOut:
        return context | {"is_late": True}
    return context | {
        "lines": lines[:MOST_LINES],
        "has_more_lines": len(lines) > MOST_LINES,
        "people": [
            each._replace(recent=[by_id[sale_id] for sale_id in each.history.newest]) if each.history else each
            for each in shown
        ],
    }


def _details(side: Side, trader_id: str, found: History) -> dict[str, Any]:
    """The chart and the tables of a page; every number leads to the sales that it is of."""
    names = dict(Country.objects.values_list("id_country", "country_name"))
    filters: dict[str, object] = {side.column: trader_id}

    def parts(of: Breakdown, field: str) -> list[BreakdownRow]:
        return [
            BreakdownRow(
                names.get(key, key or "none") if field != "category" else key or "none",
                *sums,
                sales_address(filters | {field: key}),
            )
            for key, sums in of
        ]

    own, other = f"id_{side.name}_country", f"id_{side.other}_country"
    months = [
        BreakdownRow(month.isoformat()[:7], *sums, sales_address(filters | _days_of(month)))
        for month, sums in found.months
    ]
    return {
        "months": months,
        "chart": _chart(months),
        "homes": parts(found.own_countries, own),
        "tables": [
            ("Categories", parts(found.categories, "category")),
            (f"Countries of the {side.other}s", parts(found.other_countries[:MOST_COUNTRIES], other)),
        ],
        "more_countries": max(len(found.other_countries) - MOST_COUNTRIES, 0),
    }


def _days_of(month: datetime.date) -> dict[str, object]:
    return {"start": month, "end": month.replace(day=monthrange(month.year, month.month)[1])}


def _chart(months: list[BreakdownRow]) -> ChartFigure:
    """Return bars of the revenue of each month, which lead to the month's sales."""
    return ChartFigure(
        "bar",
        description=f"Bar chart of revenue by month, {months[0].title} to {months[-1].title}.",
        labels=[month.title for month in months],
        series=[
            Series("Revenue", [Point(month.revenue, money_text(month.revenue), month.address) for month in months])
        ],
    )
