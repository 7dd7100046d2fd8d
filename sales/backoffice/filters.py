"""The filters of the list of sales: their query parameters, form fields and conditions."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cached_property
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import ListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from unfold.contrib.filters.forms import DropdownForm
from unfold.widgets import (
    INPUT_CLASSES,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from countries.models import MAX_ID_LENGTH, Country
from sales.categories import Category
from sales.ingest.fields import DECIMAL_TEXT, FILTERS
from sales.models import Sale
from sales.totals.country_totals import country_ids
from salesengine.backoffice.numbers import money_text, money_title

YES = {"True", "true", "1", "on"}

# Query parameters of the list of sales, and the parameters of the report that exports the same sales.
EXPORTED = {
    "date_payment_from": "start",
    "date_payment_to": "end",
    "revenue_from": "minimum",
    "revenue_to": "maximum",
    "seller_continent": "seller_continent",
    "buyer_continent": "buyer_continent",
    "q": "any_id",
}
LABELS = {
    "date_payment_from": "From",
    "date_payment_to": "To",
    "revenue_from": "Revenue from",
    "revenue_to": "Revenue to",
    "seller_continent": "Seller continent",
    "buyer_continent": "Buyer continent",
    "q": "Search",
}


def _add_fields() -> None:
    """Add the filters by the exact value of a field."""
    for field in FILTERS.values():
        exact, isnull, label = f"{field.lookup}__exact", f"{field.lookup}__isnull", str(field.model_field.verbose_name)
        EXPORTED[exact], LABELS[exact] = field.model_field.name, label.capitalize()
        if not field.is_required:
            EXPORTED[isnull], LABELS[isnull] = f"no_{field.model_field.name}", f"Without a {label}"


_add_fields()


class FilterForm(forms.Form):
    """A form with one field for each query parameter of a filter."""

    Media = DropdownForm.Media

    def __init__(self, fields: Mapping[str, forms.Field], data: Mapping[str, str]) -> None:
        super().__init__(data)
        self.fields.update(fields)


class PlainSelect(UnfoldAdminSelectWidget):  # type: ignore[misc]  # unfold has no types
    """A select that renders all options in one template: one template per option doubles the time of the page."""

    template_name = "sales/select.html"


class FormFilter(ListFilter):
    """A filter with several form fields, one for each of its query parameters."""

    template = "unfold/filters/filters_field.html"
    form_class = FilterForm
    parameters: tuple[str, ...]
    used_parameters: dict[str, Any]
    strips_spaces = False  # ids and names may begin or end with spaces

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: type[Sale], model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        for name in self.parameters:
            if name in params:
                text = params.pop(name)[-1]
                self.used_parameters[name] = text.strip() if self.strips_spaces else text

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(self.parameters)

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        yield {"form": self.form_class({name: self.field(name) for name in self.parameters}, self.used_parameters)}

    def field(self, name: str) -> forms.Field:
        """Return the form field of a query parameter: by default, a switch for a lookup that ends with __isnull."""
        widget = UnfoldBooleanSwitchWidget({"value": "True"})
        return forms.BooleanField(label=LABELS[name], required=False, widget=widget)

    def dropdown(self, name: str, choices: Mapping[str, str], **attributes: str) -> forms.Field:
        """Return a dropdown of the choices, and of the selected value even if it is not one of them."""
        options = {"": "All", **choices}
        selected = self.used_parameters.get(name, "")
        options.setdefault(selected, selected)
        widget = PlainSelect(
            {"data-theme": "admin-autocomplete", "class": "unfold-admin-autocomplete admin-autocomplete", **attributes}
        )
        return forms.ChoiceField(label=LABELS[name], required=False, choices=tuple(options.items()), widget=widget)

    def shown_value(self, name: str, text: str) -> tuple[str, str]:
        """Return how the list shows a value, and its tooltip. A switch has no value to show."""
        return "" if name.endswith("__isnull") else text, ""

    def condition(self, name: str, text: str) -> Q:
        """Return the condition for a value: by default, the parameter's name is a Django lookup.

        Raises ValueError, with a text that follows the field's label.
        """
        if not name.endswith("__isnull"):
            return Q(**{name: text})
        if text not in YES:
            raise ValueError(f"must be True, not {text!r}")
        return Q(**{name: True})

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Apply all conditions. After an invalid value, show no sales and a message."""
        for name, text in ((name, text) for name, text in self.used_parameters.items() if text):
            try:
                if "\0" in text:
                    raise ValueError("must not contain the character NUL")
                queryset = queryset.filter(self.condition(name, text))
            except ValueError as error:
                messages.error(request, f"{LABELS[name]} {error}. No sales are shown.")
                return queryset.none()
        return queryset


class RevenueFilter(FormFilter):
    """Revenue in a range, both ends included, compared exactly."""

    title = "revenue"
    template = "admin/range_filter.html"
    parameters = ("revenue_from", "revenue_to")
    strips_spaces = True

    def field(self, name: str) -> forms.Field:
        widget = forms.TextInput({"inputmode": "decimal", "class": " ".join(INPUT_CLASSES)})
        return forms.CharField(label=LABELS[name], required=False, widget=widget)

    def shown_value(self, name: str, text: str) -> tuple[str, str]:
        if not DECIMAL_TEXT.fullmatch(text):
            return text, ""
        return money_text(Decimal(text)), money_title(Decimal(text))

    def condition(self, name: str, text: str) -> Q:
        if not DECIMAL_TEXT.fullmatch(text):
            raise ValueError("must be a number, such as 57.25 or -3")
        start = self.used_parameters.get("revenue_from", "")
        if name == "revenue_to" and DECIMAL_TEXT.fullmatch(start) and Decimal(start) > Decimal(text):
            raise ValueError("must not be less than Revenue from")
        return Q(**{f"revenue__{'gte' if name == 'revenue_from' else 'lte'}": Decimal(text)})


class CategoryFilter(FormFilter):
    title = "category"
    parameters = ("category__exact", "category__isnull")

    def field(self, name: str) -> forms.Field:
        return self.dropdown(name, dict(Category.choices)) if name == "category__exact" else super().field(name)

    def condition(self, name: str, text: str) -> Q:
        if name == "category__exact" and text not in Category.values:
            raise ValueError(f"must be one of the categories, not {text!r}")
        return super().condition(name, text)


class BrandFilter(FormFilter):
    """The browser fetches matching brands as the user types, because there may be many."""

    title = "brand"
    parameters = ("brand__exact", "brand__isnull")

    def field(self, name: str) -> forms.Field:
        if name == "brand__isnull":
            return super().field(name)
        attributes = {
            "class": "unfold-filter-autocomplete",
            "data-ajax--url": reverse("admin:sales_sale_brands"),
            "data-ajax--cache": "true",
            "data-ajax--delay": "250",
            "data-allow-clear": "true",
            "data-placeholder": "All",
        }
        return self.dropdown(name, {}, **attributes)


class CountryFilter(FormFilter):
    """The countries and continents of sellers and buyers."""

    title = "country"
    parameters = (
        *("seller_country__id_country__exact", "buyer_country__id_country__exact"),
        *("seller_continent", "buyer_continent"),
    )

    @cached_property
    def countries(self) -> list[Country]:
        return list(Country.objects.all())

    @cached_property
    def country_names(self) -> dict[str, str]:
        """The names of all countries, and of the country ids in sales that have no name."""
        names = {country.pk: country.country_name for country in self.countries}
        return names | {pk: f"{pk} (no name yet)" for pk in country_ids() if pk not in names}

    def field(self, name: str) -> forms.Field:
        if not name.endswith("_continent"):
            return self.dropdown(name, self.country_names)
        continents = sorted({country.continent for country in self.countries if country.continent})
        return self.dropdown(name, {continent: continent for continent in continents})

    def shown_value(self, name: str, text: str) -> tuple[str, str]:
        """Show the name of a country, with its id in the tooltip."""
        if name.endswith("_continent"):
            return text, ""
        return self.country_names.get(text, text), text

    def condition(self, name: str, text: str) -> Q:
        """Select a continent by the ids of its countries, which are indexed in sales."""
        if not name.endswith("_continent"):
            return super().condition(name, text)
        return Q(**{f"{name.removesuffix('_continent')}_country_id__in": self._ids_in(text)})

    def selected_ids(self, side: str) -> list[str] | None:
        """Return the ids of the selected countries of sellers or buyers. None without a filter."""
        country_id = self.used_parameters.get(f"{side}_country__id_country__exact")
        continent = self.used_parameters.get(f"{side}_continent")
        if continent:
            return [pk for pk in self._ids_in(continent) if not country_id or pk == country_id]
        return [country_id] if country_id else None

    def _ids_in(self, continent: str) -> list[str]:
        return [country.pk for country in self.countries if country.continent == continent]


class IdsFilter(FormFilter):
    """One field for each kind of id. Only whole ids match."""

    title = "ids"
    parameters = ("id_order__exact", "id_product__exact", "id_buyer__exact", "id_seller__exact")

    def field(self, name: str) -> forms.Field:
        widget = UnfoldAdminTextInputWidget({"maxlength": str(MAX_ID_LENGTH)})
        return forms.CharField(label=LABELS[name], required=False, widget=widget)
