"""The admin's list of countries with what each sold and bought, and the country ids in sales without a name."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import BigIntegerField, F, Func, JSONField, QuerySet, TextField, Value
from django.db.models.functions import Cast, Coalesce
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from countries.admin import CountryAdmin
from countries.models import Country
from sales.backoffice.links import sales_url
from sales.models import NumericField
from sales.totals.country_totals import CountryFigures, FiguresByCountry, figures_by_country, sales_of_countries
from salesengine.backoffice.base import FilteredList
from salesengine.backoffice.numbers import count, money
from salesengine.plurals import counted

COLUMNS = CountryFigures._fields


@dataclass(frozen=True)
class UnnamedCountry:
    """A country id that occurs in sales but not in the table of countries, and its figures."""

    id_country: str
    figures: CountryFigures

    @property
    def cells(self) -> list[str]:
        """The texts of COLUMNS."""
        sold_count, sold_revenue, bought_count, bought_revenue = self.figures
        sold = sales_link(sold_count, id_seller_country=self.id_country)
        bought = sales_link(bought_count, id_buyer_country=self.id_country)
        return [sold, money(sold_revenue), bought, money(bought_revenue)]

    @property
    def naming_url(self) -> str | None:
        """The form that adds the country. None for an id with spaces around it, which a country cannot have."""
        if self.id_country != self.id_country.strip():
            return None
        return f"{reverse('admin:countries_country_add')}?{urlencode({'id_country': self.id_country})}"


class CountryList(FilteredList):
    """The list of countries. Users who may view sales also get the figures, which one query reads for all rows."""

    root_queryset: QuerySet[Country]
    figures: FiguresByCountry | None = None

    @property
    def unnamed(self) -> list[UnnamedCountry]:
        """The ids without a name that have the most revenue."""
        return [UnnamedCountry(*item) for item in self.figures.unnamed.items()] if self.figures else []

    def get_queryset(self, request: HttpRequest, *arguments: Any, **options: Any) -> QuerySet[Country]:
        if may_view_sales(request):
            self.figures = figures_by_country()
            self.root_queryset = with_figures(self.root_queryset, self.figures.named)
        countries: QuerySet[Country] = super().get_queryset(request, *arguments, **options)
        return countries


def with_figures(countries: QuerySet[Country], figures: dict[str, CountryFigures]) -> QuerySet[Country]:
    """Add COLUMNS to the countries, so that the database can sort by them. Each column is one JSON parameter."""
    outputs = (BigIntegerField(), NumericField(max_digits=60, decimal_places=20)) * 2
    for index, (column, output) in enumerate(zip(COLUMNS, outputs, strict=True)):
        values = {id_country: str(row[index]) for id_country, row in figures.items()}
        value = Func(Value(values, JSONField()), F("pk"), function="jsonb_extract_path_text", output_field=TextField())
        countries = countries.annotate(**{column: Coalesce(Cast(value, output), Value(0), output_field=output)})
    return countries


def may_view_sales(request: HttpRequest) -> bool:
    return bool(request.user.has_perm("sales.view_sale"))


class CountryWithSalesAdmin(CountryAdmin):
    """Countries with their figures. The numbers of sales link to the sales."""

    list_before_template = "admin/sales/unnamed_countries.html"

    class Media:
        css: ClassVar = {"all": ["sales/countries.css"]}

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[CountryList]:
        return CountryList

    def get_list_display(self, request: HttpRequest) -> tuple[Any, ...]:
        columns = tuple(super().get_list_display(request))
        return columns + COLUMNS if may_view_sales(request) else columns

    def deletion_effect(self, request: HttpRequest, rows: Collection[Country]) -> str:
        number = sales_of_countries([country.pk for country in rows]) if may_view_sales(request) else 0
        if not number:
            return ""
        return f"{counted(number, 'sale')} will show the id of the country instead of its name, and no continent."

    @admin.display(description="sales as seller", ordering="sold_count")
    def sold_count(self, country: Any) -> str:
        return sales_link(country.sold_count, id_seller_country=country.pk)

    @admin.display(description="revenue as seller", ordering="sold_revenue")
    def sold_revenue(self, country: Any) -> str:
        return money(country.sold_revenue)

    @admin.display(description="sales as buyer", ordering="bought_count")
    def bought_count(self, country: Any) -> str:
        return sales_link(country.bought_count, id_buyer_country=country.pk)

    @admin.display(description="revenue as buyer", ordering="bought_revenue")
    def bought_revenue(self, country: Any) -> str:
        return money(country.bought_revenue)


def sales_link(number: int, **filters: str) -> str:
    """Return a number of sales as a link to these sales."""
    return format_html('<a href="{}">{}</a>', sales_url(filters), count(number)) if number else "0"
