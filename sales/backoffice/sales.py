"""Staff browse sales here. Sales are facts: nothing adds, changes or deletes them."""

from functools import reduce
from operator import or_
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sales.backoffice.distinct_values import distinct_values
from sales.backoffice.filters import (
    EXPORTED,
    BrandFilter,
    BuyerContinentFilter,
    BuyerCountryFilter,
    CategoryFilter,
    IdsFilter,
    RevenueFilter,
    SellerContinentFilter,
    SellerCountryFilter,
)
from sales.backoffice.links import sales_address, trader_address
from sales.backoffice.sale_list import SalesList
from sales.backoffice.sale_search import with_country_names
from sales.backoffice.trader_pages import around_sale
from sales.backoffice.traders import BUYER, SELLER, Side
from sales.models import Sale
from salesengine.backoffice.base import DayRangeFilter, ModelAdmin, ReadOnly
from salesengine.operations.statement_timeout import StatementTimedOut, statement_timeout

SUGGESTED = 50  # brands


class SaleAdmin(ReadOnly, ModelAdmin[Sale]):
    list_display = ("date_payment", "order", "id_product", "category", "brand", "trade", "amount")
    list_filter = (
        ("date_payment", DayRangeFilter),
        RevenueFilter,
        CategoryFilter,
        BrandFilter,
        SellerCountryFilter,
        BuyerCountryFilter,
        SellerContinentFilter,
        BuyerContinentFilter,
        IdsFilter,
    )
    # Exact matches, which the indexes carry; a part of an id would be looked for in every sale.
    search_fields = ("id_order", "id_product", "id_buyer", "id_seller")
    search_help_text = "A whole order, product, buyer or seller id"
    ordering = ("-date_payment", "-id")
    sortable_by = ("date_payment",)
    fields = (
        *("id", "order", "id_product", "category", "brand", "amount"),
        *("date_payment", "received_at", "buyer", "seller", "event_id"),
    )
    list_before_template = "admin/sales/sale/figures.html"
    change_form_outer_after_template = "admin/sales/sale/around.html"

    class Media:
        css = {"all": ["sales/sales.css"]}

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """What the filters take; other comparisons, such as a regex or a year 0, could fail or read every sale."""
        return lookup in EXPORTED

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[SalesList]:
        return SalesList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Sale]:
        return with_country_names(super().get_queryset(request))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Sale], search_term: str
    ) -> tuple[QuerySet[Sale], bool]:
        whole = search_term.strip()
        anywhere = reduce(or_, (Q(**{field: whole}) for field in self.search_fields))
        return (queryset.filter(anywhere) if whole else queryset), False

    # Pages

    def get_urls(self) -> list[URLPattern]:
        return [path("brands/", self.admin_site.admin_view(self.brands), name="sales_sale_brands"), *super().get_urls()]

    def brands(self, request: HttpRequest) -> HttpResponse:
        """The first brands that contain what was typed, as select2 wants them."""
        if not self.has_view_permission(request):
            return JsonResponse({"results": []}, status=403)
        typed = request.GET.get("term", "").replace("\0", "")
        try:
            with statement_timeout(1):
                found = distinct_values("sales", "brand", containing=typed, most=SUGGESTED)
        except StatementTimedOut:  # there are many, and few contain it
            found = []
        if typed and typed not in found:
            found = [*found, typed]  # which can be asked for all the same
        return JsonResponse({"results": [{"id": brand, "text": brand} for brand in found]})

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any) -> Any:
        if sale := context.get("original"):
            context |= around_sale(sale)
        return super().render_change_form(request, context, *args, **options)

    # Columns and fields

    @admin.display(description="order")
    def order(self, sale: Sale) -> SafeString:
        return format_html('<a href="{}">{}</a>', sales_address({"id_order": sale.id_order}), sale.id_order)

    @admin.display(description="buyer → seller")
    def trade(self, sale: Sale) -> SafeString:
        return format_html(
            '<span class="trade">{} <span aria-label="bought from">→</span> {}</span>',
            self.buyer(sale),
            self.seller(sale),
        )

    @admin.display(description="revenue")
    def amount(self, sale: Sale) -> str:
        return f"{sale.revenue:f}"  # with the decimals it came with; the field's own text has all it could have

    @admin.display(description="buyer (country)")
    def buyer(self, sale: Sale) -> SafeString:
        return trader_link(BUYER, sale.id_buyer, getattr(sale, "buyer_home", ""))

    @admin.display(description="seller (country)")
    def seller(self, sale: Sale) -> SafeString:
        return trader_link(SELLER, sale.id_seller, getattr(sale, "seller_home", ""))


def trader_link(side: Side, trader_id: str, home: str) -> SafeString:
    return format_html('<span><a href="{}">{}</a> ({})</span>', trader_address(side.name, trader_id), trader_id, home)
