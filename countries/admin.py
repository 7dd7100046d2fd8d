"""Register the pages of countries in the back office."""

from django import forms
from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from unfold.contrib.filters.admin import AllValuesCheckboxFilter
from unfold.widgets import UnfoldAdminTextInputWidget

from countries.import_pages import ImportExport
from countries.models import MAX_ID_LENGTH, Country
from salesengine.backoffice.base import ModelAdmin


class CountryForm(forms.ModelForm[Country]):
    id_country = forms.CharField(
        label="ID",
        max_length=MAX_ID_LENGTH,
        widget=UnfoldAdminTextInputWidget,
        help_text="The same id as in sale events. You cannot change it later.",
    )


@admin.register(Country)
class CountryAdmin(ImportExport, ModelAdmin[Country]):
    """Deleting a country keeps its sales: reports then show its id instead of its name.

    The app `sales` registers its subclass CountryWithSalesAdmin in its place.
    """

    form = CountryForm
    fields = list_display = ("id_country", "country_name", "continent")
    list_filter = (("continent", AllValuesCheckboxFilter),)
    search_fields = ("id_country", "country_name")
    search_help_text = "Part of an id or a name"
    # Names fit in one line. An empty continent is stored as NULL, because filters would list "" as a continent.
    formfield_overrides = {models.TextField: {"widget": UnfoldAdminTextInputWidget, "empty_value": None}}

    def get_readonly_fields(self, request: HttpRequest, obj: Country | None = None) -> tuple[str, ...]:
        # Saving under another primary key would make a second country.
        return ("id_country",) if obj else ()
