"""The filters of the admin's list of sales: what each takes in an address, and which sales it leaves."""

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
from sales.ingest.fields import FILTERS
from sales.models import Category, Sale

AMOUNT = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?")
YES = {"True", "true", "1", "on"}

# The parameters of the list's address, and those of the report that exports the same sales.
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
}
for field in FILTERS.values():
    exact, isnull, label = f"{field.lookup}__exact", f"{field.lookup}__isnull", str(field.model_field.verbose_name)
    EXPORTED[exact], LABELS[exact] = field.model_field.name, label.capitalize()
    if not field.is_required:
        EXPORTED[isnull], LABELS[isnull] = f"no_{field.model_field.name}", f"Without a {label}"


class FilterForm(forms.Form):
    """Fields by the names of their parameters."""

    Media = DropdownForm.Media

    def __init__(self, fields: Mapping[str, forms.Field], data: Mapping[str, str]) -> None:
        super().__init__(data)
        self.fields.update(fields)


class FormFilter(ListFilter):
    """A filter that is a few of unfold's controls, each of which is a parameter of the address."""

    template = "unfold/filters/filters_field.html"
    form_class = FilterForm
    parameters: tuple[str, ...]
    ignores_blanks = False  # around what was typed: ids and names may have some

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: type[Sale], model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.request = request
        for name in self.parameters:
            if name in params:
                text = params.pop(name)[-1]
                self.used_parameters[name] = text.strip() if self.ignores_blanks else text

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(self.parameters)

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        data = {name: str(value) for name, value in self.used_parameters.items()}
        yield {"form": self.form_class(dict(self.fields()), data)}

    def fields(self) -> Iterator[tuple[str, forms.Field]]:
        """The name and the control of each parameter."""
        raise NotImplementedError

    def condition(self, name: str, text: str) -> Q:
        """What sales must fulfil for this value. Raises ValueError, in words, for one that makes no sense."""
        raise NotImplementedError

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """All conditions together. Where one makes no sense nothing is shown, and it is said why."""
        for name, text in ((name, str(value)) for name, value in self.used_parameters.items() if value):
            try:
                if "\0" in text:
                    raise ValueError("holds the character NUL, which nothing does")
                queryset = queryset.filter(self.condition(name, text))
            except ValueError as error:
                messages.error(request, f"{LABELS[name]} {error}, so nothing is shown.")
                return queryset.none()
        return queryset


class PlainSelect(UnfoldAdminSelectWidget):  # type: ignore[misc]  # unfold has no types
    """All its options in one template: one each takes as long as the whole list of sales."""

    template_name = "sales/select.html"


def text_field(label: str, **attributes: str) -> forms.Field:
    return forms.CharField(label=label, required=False, widget=UnfoldAdminTextInputWidget(attributes))


def switch(label: str) -> forms.Field:
    return forms.BooleanField(label=label, required=False, widget=UnfoldBooleanSwitchWidget({"value": "True"}))


def choice_field(label: str, choices: Mapping[str, str], chosen: object = "", **attributes: str) -> forms.Field:
    """A choice from what there is, and from what the address names, which may be something else."""
    known = {"": "All", **choices}
    known.setdefault(str(chosen), str(chosen))
    dropdown = {"data-theme": "admin-autocomplete", "class": "unfold-admin-autocomplete admin-autocomplete"}
    return forms.ChoiceField(
        label=label, required=False, choices=tuple(known.items()), widget=PlainSelect(dropdown | attributes)
    )


def is_yes(text: str) -> bool:
    if text not in YES:
        raise ValueError(f"is {text!r}, and can only be True")
    return True


class RevenueFilter(FormFilter):
    """Both ends included; exact to the last digit."""

    title = "revenue"
    template = "unfold/filters/filters_numeric_range.html"
    parameters = ("revenue_from", "revenue_to")
    ignores_blanks = True

    def fields(self) -> Iterator[tuple[str, forms.Field]]:
        for name, label in zip(self.parameters, ("From", "To"), strict=True):
            attributes = {"aria-label": LABELS[name], "placeholder": label, "inputmode": "decimal"}
            widget = forms.TextInput({**attributes, "class": " ".join(INPUT_CLASSES)})
            yield name, forms.CharField(required=False, widget=widget)

    def condition(self, name: str, text: str) -> Q:
        if not AMOUNT.fullmatch(text):
            raise ValueError("is no number such as 57.25 or -3")
        return Q(**{f"revenue__{'gte' if name == 'revenue_from' else 'lte'}": Decimal(text)})


class CategoryFilter(FormFilter):
    title = "category"
    parameters = ("category__exact", "category__isnull")

    def fields(self) -> Iterator[tuple[str, forms.Field]]:
        chosen = self.used_parameters.get("category__exact", "")
        yield "category__exact", choice_field("Category", dict(Category.choices), chosen)
        yield "category__isnull", switch("Without a category")

    def condition(self, name: str, text: str) -> Q:
        if name == "category__isnull":
            return Q(category__isnull=is_yes(text))
        if text not in Category.values:
            raise ValueError(f"{text!r} is none of the categories there are")
        return Q(category=text)


class BrandFilter(FormFilter):
    """Brands are so many that they are looked for as somebody types."""

    title = "brand"
    parameters = ("brand__exact", "brand__isnull")

    def fields(self) -> Iterator[tuple[str, forms.Field]]:
        chosen = self.used_parameters.get("brand__exact", "")
        attributes = {
            "class": "unfold-filter-autocomplete",
            "data-ajax--url": reverse("admin:sales_sale_brands"),
            "data-ajax--cache": "true",
            "data-ajax--delay": "250",
            "data-allow-clear": "true",
            "data-placeholder": "All",
        }
        yield "brand__exact", choice_field("Brand", {}, chosen, **attributes)
        yield "brand__isnull", switch("Without a brand")

    def condition(self, name: str, text: str) -> Q:
        return Q(brand__isnull=is_yes(text)) if name == "brand__isnull" else Q(brand=text)


class CountryFilter(FormFilter):
    """A choice from the countries that have a name, and the ids without one that sales have."""

    side: str  # "seller" or "buyer"

    def fields(self) -> Iterator[tuple[str, forms.Field]]:
        (name,) = self.parameters
        names = {country.pk: country.country_name for country in countries(self.request)}
        unnamed = {each: f"{each} (no name yet)" for each in ids_in_sales(self.request) if each not in names}
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
    """A continent is the ids of its countries, which the index of the sales' countries has."""

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
    """Whole ids, each in its own field."""

    title = "ids"
    parameters = ("id_order__exact", "id_product__exact", "id_buyer__exact", "id_seller__exact")

    def fields(self) -> Iterator[tuple[str, forms.Field]]:
        yield from ((name, text_field(LABELS[name], maxlength="64")) for name in self.parameters)

    def condition(self, name: str, text: str) -> Q:
        return Q(**{name: text})


def countries(request: HttpRequest) -> list[Country]:
    """All countries by name, read once for each request."""
    if not hasattr(request, "countries"):
        request.countries = list(Country.objects.all())  # type: ignore[attr-defined]
    known: list[Country] = request.countries  # type: ignore[attr-defined]
    return known


def ids_in_sales(request: HttpRequest) -> list[str]:
    """All ids of countries that sales have, read once for each request."""
    if not hasattr(request, "ids_in_sales"):
        request.ids_in_sales = country_ids()  # type: ignore[attr-defined]
    known: list[str] = request.ids_in_sales  # type: ignore[attr-defined]
    return known
