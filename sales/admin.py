"""Staff browse sales here. Sales are facts: nothing adds, changes or deletes them."""

from django.contrib import admin
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter

from sales.models import RejectedEvent, Sale
from sales.rejected_admin import RejectedEventAdmin
from salesengine.backoffice import DayRangeFilter, ModelAdmin, ReadOnly

admin.site.register(RejectedEvent, RejectedEventAdmin)


class CountryFilter(RelatedDropdownFilter):  # type: ignore[misc]  # unfold has no types
    """A choice from all countries."""

    def has_output(self) -> bool:
        """Also while there is nothing to choose from: an address may name an id, which would be ignored otherwise."""
        return True


@admin.register(Sale)
class SaleAdmin(ReadOnly, ModelAdmin[Sale]):
    list_display = ("date_payment", "id_order", "id_product", "category", "brand", "amount", "seller", "buyer")
    list_filter = (
        ("date_payment", DayRangeFilter),
        ("category", ChoicesDropdownFilter),
        ("seller_country", CountryFilter),
        ("buyer_country", CountryFilter),
    )
    # Exact matches, which the indexes carry; a part of an id would be looked for in every sale.
    search_fields = ("id_order__exact", "id_product__exact", "id_buyer__exact", "id_seller__exact")
    search_help_text = "A whole order, product, buyer or seller id"
    ordering = ("-date_payment", "-id")
    sortable_by = ("date_payment",)
    fields = (
        *("id", "id_order", "id_product", "category", "brand", "amount"),
        *("date_payment", "received_at", "seller", "buyer"),
    )

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """The filters' own comparisons; others, such as a regex or a year 0, could fail or read every sale."""
        return (
            lookup in {"date_payment_from", "date_payment_to"}
            or lookup.rpartition("__")[2] in {"exact", "isnull"}
            and super().lookup_allowed(lookup, value, request)
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Sale]:
        # Prefetched, not joined: a join would hide the sales from countries that have no name.
        return super().get_queryset(request).prefetch_related("seller_country", "buyer_country")

    @admin.display(description="revenue")
    def amount(self, sale: Sale) -> str:
        return f"{sale.revenue:f}"  # with the decimals it came with; the field's own text has all it could have

    @admin.display(description="seller (country)")
    def seller(self, sale: Sale) -> str:
        return f"{sale.id_seller} ({country_name(sale, 'seller_country')})"

    @admin.display(description="buyer (country)")
    def buyer(self, sale: Sale) -> str:
        return f"{sale.id_buyer} ({country_name(sale, 'buyer_country')})"


def country_name(sale: Sale, field: str) -> str:
    """The name of the country in `field`, or its id where no country has that id."""
    try:
        return str(getattr(sale, field))
    except ObjectDoesNotExist:
        return str(getattr(sale, f"{field}_id"))
