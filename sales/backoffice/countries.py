"""The list of countries with what each sold and bought, and the ids that wait for a name."""

from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import BigIntegerField, F, Func, JSONField, QuerySet, TextField, Value
from django.db.models.functions import Cast, Coalesce
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.views import ChangeList

from countries.admin import CountryAdmin as PlainCountryAdmin
from countries.models import Country
from sales.backoffice.links import sales_address
from sales.models import NumericField
from sales.totals.country_totals import CountryFigures, FiguresByCountry, figures_by_country

COLUMNS = ("sold_count", "sold_revenue", "bought_count", "bought_revenue")


@dataclass(frozen=True)
class Unnamed:
    """An id that no country has: what it sold and bought, where these sales are, and where it gets a name."""

    id_country: str
    figures: CountryFigures

    @property
    def cells(self) -> list[str]:
        """What it sold, and what it bought, as in the columns of the list."""
        sold_count, sold_revenue, bought_count, bought_revenue = self.figures
        sold = sales_link(sold_count, id_seller_country=self.id_country)
        bought = sales_link(bought_count, id_buyer_country=self.id_country)
        return [sold, money(sold_revenue), bought, money(bought_revenue)]

    @property
    def naming_address(self) -> str | None:
        """None for an id with blanks around it, which no country can have."""
        if self.id_country != self.id_country.strip():
            return None
        return f"{reverse('admin:countries_country_add')}?{urlencode({'id_country': self.id_country})}"


class CountryList(ChangeList):  # type: ignore[misc]  # unfold has no types
    """Each country with its figures, for who may see sales: one look for the whole page. Others get no figures."""

    root_queryset: QuerySet[Country]
    figures: FiguresByCountry | None = None

    @property
    def unnamed(self) -> list[Unnamed]:
        """The ids without a name that have the most revenue."""
        return [Unnamed(*each) for each in self.figures.unnamed.items()] if self.figures else []

    @property
    def unnamed_count(self) -> str:
        """How many there are."""
        return f"{self.figures.unnamed_count:,}" if self.figures else "0"

    def get_queryset(self, request: HttpRequest, *arguments: Any, **options: Any) -> QuerySet[Country]:
        if may_see_sales(request):
            self.figures = figures_by_country()
            self.root_queryset = with_figures(self.root_queryset, self.figures.named)
        countries: QuerySet[Country] = super().get_queryset(request, *arguments, **options)
        return countries


def with_figures(countries: QuerySet[Country], figures: dict[str, CountryFigures]) -> QuerySet[Country]:
    """The countries with COLUMNS, by which they can be sorted; the figures go along as one value for each column."""
    outputs = (BigIntegerField(), NumericField(max_digits=60, decimal_places=20)) * 2
    for position, (column, output) in enumerate(zip(COLUMNS, outputs, strict=True)):
        values = {country: str(each[position]) for country, each in figures.items()}
        found = Func(Value(values, JSONField()), F("pk"), function="jsonb_extract_path_text", output_field=TextField())
        countries = countries.annotate(**{column: Coalesce(Cast(found, output), Value(0), output_field=output)})
    return countries


def may_see_sales(request: HttpRequest) -> bool:
    return bool(request.user.has_perm("sales.view_sale"))


class CountryAdmin(PlainCountryAdmin):
    """Countries and their sales. The columns lead to the sales that they count."""

    list_before_template = "admin/sales/unnamed_countries.html"

    class Media:
        css: ClassVar = {"all": ["sales/countries.css"]}

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[CountryList]:
        return CountryList

    def get_list_display(self, request: HttpRequest) -> tuple[Any, ...]:
        columns = tuple(super().get_list_display(request))
        return columns + COLUMNS if may_see_sales(request) else columns

    @admin.display(description="sold", ordering="sold_count")
    def sold_count(self, country: Any) -> str:
        return sales_link(country.sold_count, id_seller_country=country.pk)

    @admin.display(description="revenue sold", ordering="sold_revenue")
    def sold_revenue(self, country: Any) -> str:
        return money(country.sold_revenue)

    @admin.display(description="bought", ordering="bought_count")
    def bought_count(self, country: Any) -> str:
        return sales_link(country.bought_count, id_buyer_country=country.pk)

    @admin.display(description="revenue bought", ordering="bought_revenue")
    def bought_revenue(self, country: Any) -> str:
        return money(country.bought_revenue)


def sales_link(number: int, **filters: str) -> str:
    """A number of sales that leads to them."""
    return format_html('<a href="{}">{}</a>', sales_address(filters), f"{number:,}") if number else "0"


def money(amount: Any) -> str:
    """An amount at a glance, with the exact one on a closer look."""
    return format_html('<span title="{}">{}</span>', f"{amount:f}", f"{amount:,.2f}")
