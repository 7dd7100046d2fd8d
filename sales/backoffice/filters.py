"""The filters of the list of sales: their query parameters, form fields and conditions."""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
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

from countries.models import Country
from sales.backoffice.distinct_values import country_ids
from sales.models import Category, Sale

AMOUNT = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?")
YES = {"True", "true", "1", "on"}

# Query parameters of the list of sales, and the parameters of the report that exports the same sales.
EXPORTED = {
    "date_payment_from": "start",
    "date_payment_to": "end",
    "revenue_from": "minimum",
    "revenue_to": "maximum",
    "category__exact": "category",
    "category__isnull": "no_category",
    "brand__exact": "brand",
    "brand__isnull": "no_brand",
    "seller_country__id_country__exact": "seller_country",
    "buyer_country__id_country__exact": "buyer_country",
    "seller_continent": "seller_continent",
    "buyer_continent": "buyer_continent",
    "id_order__exact": "id_order",
    "id_product__exact": "id_product",
    "id_buyer__exact": "id_buyer",
    "id_seller__exact": "id_seller",
    "q": "any_id",
}
LABELS = {
    "date_payment_from": "From",
    "date_payment_to": "To",
    "revenue_from": "Revenue from",
    "revenue_to": "Revenue to",
    "category__exact": "Category",
    "category__isnull": "Without a category",
    "brand__exact": "Brand",
    "brand__isnull": "Without a brand",
    "seller_country__id_country__exact": "Seller country",
    "buyer_country__id_country__exact": "Buyer country",
    "seller_continent": "Seller continent",
    "buyer_continent": "Buyer continent",
    "id_order__exact": "Order",
    "id_product__exact": "Product",
    "id_buyer__exact": "Buyer",
    "id_seller__exact": "Seller",
}


class FilterForm(forms.Form):
    """A form with one field for each query parameter of a filter."""

    Media = DropdownForm.Media

    def __init__(self, fields: Mapping[str, forms.Field], data: Mapping[str, str]) -> None:
        super().__init__(data)
        self.fields.update(fields)


class FormFilter(ListFilter):
    """A filter with several form fields, one for each of its query parameters."""

    template = "unfold/filters/filters_field.html"
    form_class = FilterForm
    parameters: tuple[str, ...]
    strips_spaces = False  # ids and names may begin or end with spaces

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: type[Sale], model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.request = request
        for name in self.parameters:
            if name in params:
                text = params.pop(name)[-1]
                self.used_parameters[name] = text.strip() if self.strips_spaces else text

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(self.parameters)

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        data = {name: str(value) for name, value in self.used_parameters.items()}
        yield {"form": self.form_class(dict(self.fields()), data)}

    def fields(self) -> Iterator[tuple[str, forms.Field]]:
        """Yield the name and the form field of each query parameter."""
        raise NotImplementedError

    def condition(self, name: str, text: str) -> Q:
        """Return the condition for a value. Raises ValueError, with a text that follows the field's label."""
        raise NotImplementedError

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Apply all conditions. After an invalid value, show no sales and a message."""
        for name, text in ((name, str(value)) for name, value in self.used_parameters.items() if value):
            try:
                if "\0" in text:
                    raise ValueError("must not contain the character NUL")
                queryset = queryset.filter(self.condition(name, text))
            except ValueError as error:
                messages.error(request, f"{LABELS[name]} {error}. No sales are shown.")
                return queryset.none()
        return queryset


class PlainSelect(UnfoldAdminSelectWidget):  # type: ignore[misc]  # unfold has no types
    """A select that renders all options in one template: one template per option doubles the time of the page."""

    template_name = "sales/select.html"


def text_field(label: str, **attributes: str) -> forms.Field:
    return forms.CharField(label=label, required=False, widget=UnfoldAdminTextInputWidget(attributes))


def switch(label: str) -> forms.Field:
    return forms.BooleanField(label=label, required=False, widget=UnfoldBooleanSwitchWidget({"value": "True"}))


def choice_field(label: str, choices: Mapping[str, str], selected: object = "", **attributes: str) -> forms.Field:
    """Return a dropdown of the choices, and of the selected value even if it is not one of them."""
    options = {"": "All", **choices}
    options.setdefault(str(selected), str(selected))
    dropdown = {"data-theme": "admin-autocomplete", "class": "unfold-admin-autocomplete admin-autocomplete"}
    return forms.ChoiceField(
        label=label, required=False, choices=tuple(options.items()), widget=PlainSelect(dropdown | attributes)
    )


def is_yes(text: str) -> bool:
    if text not in YES:
        raise ValueError(f"must be True, not {text!r}")
    return True


class RevenueFilter(FormFilter):
    """Revenue in a range, both ends included, compared exactly."""

    title = "revenue"
    template = "unfold/filters/filters_numeric_range.html"
    parameters = ("revenue_from", "revenue_to")
    strips_spaces = True

    def fields(self) -> Iterator[tuple[str, forms.Field]]:
        for name, label in zip(self.parameters, ("From", "To"), strict=True):
            attributes = {"aria-label": LABELS[name], "placeholder": label, "inputmode": "decimal"}
            widget = forms.TextInput({**attributes, "class": " ".join(INPUT_CLASSES)})
            yield name, forms.CharField(required=False, widget=widget)

    def condition(self, name: str, text: str) -> Q:
        if not AMOUNT.fullmatch(text):
            raise ValueError("must be a number, such as 57.25 or -3")
        return Q(**{f"revenue__{'gte' if name == 'revenue_from' else 'lte'}": Decimal(text)})


class CategoryFilter(FormFilter):
    title = "category"
    parameters = ("category__exact", "category__isnull")

    def fields(self) -> Iterator[tuple[str, forms.Field]]:
        selected = self.used_parameters.get("category__exact", "")
        yield "category__exact", choice_field("Category", dict(Category.choices), selected)
        yield "category__isnull", switch("Without a category")

    def condition(self, name: str, text: str) -> Q:
        if name == "category__isnull":
            return Q(category__isnull=is_yes(text))
        if text not in Category.values:
            raise ValueError(f"must be one of the categories, not {text!r}")
        return Q(category=text)


class BrandFilter(FormFilter):
    """The browser fetches matching brands as the user types, because there may be many."""

    title = "brand"
    parameters = ("brand__exact", "brand__isnull")

    def fields(self) -> Iterator[tuple[str, forms.Field]]:
        selected = self.used_parameters.get("brand__exact", "")
        attributes = {
            "class": "unfold-filter-autocomplete",
            "data-ajax--url": reverse("admin:sales_sale_brands"),
            "data-ajax--cache": "true",
            "data-ajax--delay": "250",
            "data-allow-clear": "true",
            "data-placeholder": "All",
        }
        yield "brand__exact", choice_field("Brand", {}, selected, **attributes)
        yield "brand__isnull", switch("Without a brand")

    def condition(self, name: str, text: str) -> Q:
        return Q(brand__isnull=is_yes(text)) if name == "brand__isnull" else Q(brand=text)


class CountryFilter(FormFilter):
    """A dropdown of the named countries, and of the unnamed country ids in sales."""

    side: str  # "seller" or "buyer"

    def fields(self) -> Iterator[tuple[str, forms.Field]]:
        (name,) = self.parameters
        names = {country.pk: country.country_name for country in countries(self.request)}
        unnamed = {pk: f"{pk} (no name yet)" for pk in country_ids_in_sales(self.request) if pk not in names}
        yield name, choice_field(LABELS[name], names | unnamed, self.used_parameters.get(name, ""))

    def condition(self, name: str, text: str) -> Q:
        return Q(**{f"{self.side}_country_id": text})


class SellerCountryFilter(CountryFilter):
    title = "seller country"
    side = "seller"
    parameters = ("seller_country__id_country__exact",)


class BuyerCountryFilter(CountryFilter):
    title = "buyer country"
    side = "buyer"
    parameters = ("buyer_country__id_country__exact",)


class ContinentFilter(FormFilter):
    """Select a continent by the ids of its countries, which are indexed in sales."""

    side: str

    def fields(self) -> Iterator[tuple[str, forms.Field]]:
        (name,) = self.parameters
        continents = sorted({country.continent for country in countries(self.request) if country.continent})
        choices = {continent: continent for continent in continents}
        yield name, choice_field(LABELS[name], choices, self.used_parameters.get(name, ""))

    def condition(self, name: str, text: str) -> Q:
        ids = [country.pk for country in countries(self.request) if country.continent == text]
        return Q(**{f"{self.side}_country_id__in": ids})


class SellerContinentFilter(ContinentFilter):
    title = "seller continent"
    side = "seller"
    parameters = ("seller_continent",)


class BuyerContinentFilter(ContinentFilter):
    title = "buyer continent"
    side = "buyer"
    parameters = ("buyer_continent",)


class IdsFilter(FormFilter):
    """One field for each kind of id. Only whole ids match."""

    title = "ids"
    parameters = ("id_order__exact", "id_product__exact", "id_buyer__exact", "id_seller__exact")

    def fields(self) -> Iterator[tuple[str, forms.Field]]:
        yield from ((name, text_field(LABELS[name], maxlength="64")) for name in self.parameters)

    def condition(self, name: str, text: str) -> Q:
        return Q(**{name: text})


def countries(request: HttpRequest) -> list[Country]:
    """Return all countries by name. They are read once per request."""
    if not hasattr(request, "countries"):
        request.countries = list(Country.objects.all())  # type: ignore[attr-defined]
    cached: list[Country] = request.countries  # type: ignore[attr-defined]
    return cached


def country_ids_in_sales(request: HttpRequest) -> list[str]:
    """Return all country ids in sales. They are read once per request."""
    if not hasattr(request, "country_ids_in_sales"):
        request.country_ids_in_sales = country_ids()  # type: ignore[attr-defined]
    cached: list[str] = request.country_ids_in_sales  # type: ignore[attr-defined]
    return cached
