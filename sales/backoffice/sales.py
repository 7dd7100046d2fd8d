"""The admin's pages on sales and voided sales. They are read-only, but a sale can be voided or replaced."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sales.backoffice.corrections import correction_page
from sales.backoffice.distinct_values import brands_of_sales
from sales.backoffice.filters import BrandFilter, CategoryFilter, CountryFilter, IdsFilter, RevenueFilter
from sales.backoffice.links import order_url, trader_url
from sales.backoffice.origins import UNKNOWN, find_origin, rejected_url
from sales.backoffice.sale_list import SalesList
from sales.backoffice.sale_search import SALE_ID, has_id, with_country_names
from sales.backoffice.trader_pages import related_sales
from sales.models import Sale, VoidedSale
from sales.totals.archives import find_archived
from salesengine.backoffice.base import DayRangeFilter, ModelAdmin, NewestRowsPaginator, ReadOnly
from salesengine.backoffice.numbers import money
from salesengine.operations.statement_timeout import StatementTimedOut, statement_timeout

BRAND_LIMIT = 50  # suggested brands
SALE_FIELDS = (
    *("id", "replaces", "order", "id_product", "category", "brand", "amount"),
    *("date_payment", "received_at", "seller", "buyer", "event_id", "sender", "source"),
)


class SoldItemAdmin(ReadOnly, ModelAdmin[Any]):
    """What the pages of true and of voided sales share. The page of a buyer or a seller shows only true sales."""

    class Media:
        css = {"all": ["sales/sales.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return with_country_names(super().get_queryset(request))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find whole ids only, through their indexes. Searching for a part of an id would read every sale."""
        if text := search_term.strip():
            queryset = queryset.filter(has_id(text, self.search_fields))
        return queryset, False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the sale with its origin, and the URL of rejected events of that origin if the user may see them."""
        sale: Any = super().get_object(request, object_id, from_field)
        if sale:
            sale.origin = find_origin(sale)
            may_view = sale.origin and request.user.has_perm("sales.view_rejectedevent")
            sale.rejected_url = rejected_url(sale, sale.origin) if may_view else ""
            # A correction voids the old sale and stores the new one in one transaction, so at the same time.
            sale.replaced = VoidedSale.objects.filter(voided_at=sale.received_at, replaced_by=sale.pk).first()
        return sale

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show what a sale has replaced only if it is a replacement."""
        return [name for name in super().get_fields(request, obj) if name != "replaces" or (obj and obj.replaced)]

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        """Redirect to the list. Django asks whether the row was deleted, but sales never are."""
        messages.warning(request, f"There is no {opts.verbose_name} with the ID {unquote(object_id)}.")
        return HttpResponseRedirect(reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist"))

    @admin.display(description="order")
    def order(self, sale: Any) -> SafeString:
        return format_html('<a href="{}">{}</a>', order_url(sale.id_order), sale.id_order)

    @admin.display(description="revenue")
    def amount(self, sale: Any) -> SafeString:
        return money(sale.revenue)

    @admin.display(description="buyer (country)")
    def buyer(self, sale: Any) -> str:
        return f"{sale.id_buyer} ({sale.buyer_country_name})"

    @admin.display(description="seller (country)")
    def seller(self, sale: Any) -> str:
        return f"{sale.id_seller} ({sale.seller_country_name})"

    @admin.display(description="replaces")
    def replaces(self, sale: Any) -> SafeString:
        url = reverse("admin:sales_voidedsale_change", args=[sale.replaced.pk])
        return format_html('<a href="{}">{}</a>', url, sale.replaced.pk)

    @admin.display(description="sender")
    def sender(self, sale: Any) -> str | None:
        return sale.origin.sender or None if sale.origin else UNKNOWN

    @admin.display(description="source")
    def source(self, sale: Any) -> str | None:
        """Show the id of the request, the name of the file, or who replayed the event."""
        if sale.origin and sale.rejected_url:
            return format_html('<a href="{}">{}</a>', sale.rejected_url, sale.origin.source)
        return sale.origin.source or None if sale.origin else UNKNOWN


class SaleAdmin(SoldItemAdmin):
    """The list of sales, and the page of a sale with related sales."""

    list_display = ("date_payment", "order", "id_product", "category", "brand", "trade", "amount")
    list_filter = (
        ("date_payment", DayRangeFilter),
        *(RevenueFilter, CategoryFilter, BrandFilter, CountryFilter, IdsFilter),
    )
    search_fields = ("id_order", "id_product", "id_buyer", "id_seller")
    search_help_text = "Complete order, product, buyer or seller id, or the id of a sale"
    ordering = ("-date_payment", "-id")
    sortable_by = ("date_payment",)
    fields = SALE_FIELDS
    list_before_template = "admin/sales/sale/list_summary.html"
    change_form_outer_after_template = "admin/sales/sale/related.html"

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[SalesList]:
        return SalesList

    # Pages

    def get_urls(self) -> list[URLPattern]:
        return [
            path("brands/", self.admin_site.admin_view(self.brands), name="sales_sale_brands"),
            path("<path:object_id>/correct/", self.admin_site.admin_view(self.correct), name="sales_sale_correct"),
            *super().get_urls(),
        ]

    def brands(self, request: HttpRequest) -> HttpResponse:
        """Suggest brands that contain the typed text, in the format of select2."""
        if not self.has_view_permission(request):
            return JsonResponse({"results": []}, status=403)
        typed = request.GET.get("term", "").replace("\0", "")
        try:
            with statement_timeout(1):
                brands = brands_of_sales(containing=typed, limit=BRAND_LIMIT)
        except StatementTimedOut:  # few of very many brands contain the text
            brands = []
        if typed and typed not in brands:
            brands = [*brands, typed]  # so that users can filter by a brand that was not found
        return JsonResponse({"results": [{"id": brand, "text": brand} for brand in brands]})

    def correct(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the page on which users who may do so void or replace the sale."""
        if not self.has_view_permission(request) or not may_correct(request):
            raise PermissionDenied
        sale = self.get_object(request, object_id)
        if sale is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        return correction_page(request, sale)

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        """Redirect to the voided sale, if the id is that of one. Say which month to restore for an archived sale."""
        sale_id = int(object_id) if SALE_ID.fullmatch(object_id) else 0
        if month := find_archived([sale_id]).get(sale_id):
            messages.warning(request, f"The sale {sale_id} is archived. manage.py restore_sales brings {month} back.")
            return HttpResponseRedirect(reverse("admin:sales_sale_changelist"))
        voided = self.admin_site.get_model_admin(VoidedSale).get_object(request, object_id)
        if voided is None:
            return super()._get_obj_does_not_exist_redirect(request, opts, object_id)
        messages.warning(request, f"The sale {voided.pk} was voided. This page shows what it was.")
        return HttpResponseRedirect(reverse("admin:sales_voidedsale_change", args=[voided.pk]))

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any) -> Any:
        if sale := context.get("original"):
            context |= related_sales(sale) | {"may_correct": may_correct(request)}
        return super().render_change_form(request, context, *args, **options)

    # Columns

    @admin.display(description="seller → buyer")
    def trade(self, sale: Sale) -> str:
        """Give the list this column. The list's template writes the cells."""
        return f"{sale.id_seller} → {sale.id_buyer}"

    @admin.display(description="buyer (country)")
    def buyer(self, sale: Any) -> SafeString:
        return trader_link("buyer", sale.id_buyer, sale.buyer_country_name)

    @admin.display(description="seller (country)")
    def seller(self, sale: Any) -> SafeString:
        return trader_link("seller", sale.id_seller, sale.seller_country_name)


class VoidedSaleAdmin(SoldItemAdmin):
    """The list of voided sales, and the page of one: who voided it, when and why, and what it was."""

    list_display = ("voided_at", "id", "order", "amount", "reason", "corrector", "replacement")
    list_filter = (("voided_at", DayRangeFilter),)
    search_fields = ("id_order",)
    search_help_text = "A complete order id, or the id of a sale"
    ordering = ("-voided_at", "-id")
    sortable_by = ("voided_at",)
    paginator = NewestRowsPaginator
    fields = ("voided_at", "corrector", "reason", "replacement", *SALE_FIELDS)

    def has_view_permission(self, request: HttpRequest, obj: VoidedSale | None = None) -> bool:
        """Let everybody who may see sales see the voided ones."""
        return bool(request.user.has_perm("sales.view_sale"))

    @admin.display(description="voided by")
    def corrector(self, sale: VoidedSale) -> str:
        """Show who it was: a user, the client of an API key, or the command line."""
        name = sale.voided_by.removeprefix("user:")
        return name if name == sale.voided_by else f"{name} (staff)"

    @admin.display(description="replaced by")
    def replacement(self, sale: VoidedSale) -> SafeString | str:
        if sale.replaced_by is None:
            return "-"
        url = reverse("admin:sales_sale_change", args=[sale.replaced_by])
        return format_html('<a href="{}">{}</a>', url, sale.replaced_by)


def may_correct(request: HttpRequest) -> bool:
    return bool(request.user.has_perm("sales.correct_sale"))


def trader_link(side: str, trader_id: str, country: str) -> SafeString:
    return format_html('<span><a href="{}">{}</a> ({})</span>', trader_url(side, trader_id), trader_id, country)
