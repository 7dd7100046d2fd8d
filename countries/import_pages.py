"""Import countries from a CSV file in the back office, after a preview of the changes, and export them."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import InMemoryUploadedFile
from django.core.signing import BadSignature
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from import_export.admin import ImportExportMixin
from import_export.forms import ConfirmImportForm
from import_export.results import Result
from unfold.contrib.import_export.forms import ImportForm

from countries.csv_file import HEADER, InvalidCountriesError
from countries.loading import lock_countries
from countries.models import Country
from countries.resources import CountryCSV, CountryResource, SignedFile, describe_country_changes
from salesengine.accounts.audit_log import new_entry

MAX_BYTES = 1_000_000
MAX_SHOWN = 200  # rows of a preview, or of a list of errors
ONLY_CHOICE = [("0", "CSV")]
OUT_OF_DATE = (
    "Nothing was imported. This preview is out of date: a country has changed since, or an hour has passed. "
    "Choose the file again."
)
NOT_CONFIRMED = "Nothing was imported. Choose the file again."


class FileForm(ImportForm):  # type: ignore[misc]  # unfold has no types
    """A form with a file only: the library's fields for a format and a resource have fixed values."""

    media = forms.Media()  # without the library's script, which guesses the format

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["format"].widget = forms.HiddenInput()
        file = self.fields["import_file"]
        file.label = "CSV file"
        file.widget.attrs |= {"accept": ".csv,text/csv"}
        file.error_messages["required"] = f"Choose a CSV file of at most {MAX_BYTES:,} bytes."

    def clean_import_file(self) -> InMemoryUploadedFile:
        file: InMemoryUploadedFile = self.cleaned_data["import_file"]
        if (file.size or 0) > MAX_BYTES:
            raise forms.ValidationError(
                f"The file has {file.size:,} bytes; the limit here is {MAX_BYTES:,}. "
                "Load larger files with manage.py load_countries."
            )
        return file


class ConfirmForm(ConfirmImportForm):  # type: ignore[misc]
    format = forms.ChoiceField(choices=ONLY_CHOICE, widget=forms.HiddenInput)
    resource = forms.ChoiceField(choices=ONLY_CHOICE, widget=forms.HiddenInput, required=False)


class ImportExport(ImportExportMixin):  # type: ignore[misc]
    """Users who may add and change countries can import them. Users who may view them can export them."""

    resource_classes = (CountryResource,)
    formats = (CountryCSV,)
    import_form_class = FileForm
    confirm_form_class = ConfirmForm
    import_export_change_list_template = "admin/countries/country/change_list.html"
    import_template_name = "admin/countries/country/import.html"
    tmp_storage_class = SignedFile
    skip_export_form = True
    to_encoding = "utf-8-sig"  # without the byte order mark, spreadsheets read UTF-8 as Latin-1

    def has_import_permission(self, request: HttpRequest) -> bool:
        return bool(self.has_add_permission(request) and self.has_change_permission(request))

    def has_export_permission(self, request: HttpRequest) -> bool:
        return bool(self.has_view_permission(request))

    def get_export_filename(self, request: HttpRequest, queryset: QuerySet[Country], file_format: CountryCSV) -> str:
        return f"countries-{timezone.now():%Y-%m-%d}.csv"

    def import_action(self, request: HttpRequest, **options: Any) -> TemplateResponse:
        """Show the form. After an upload, show the errors of the file, or the preview of its changes."""
        response: TemplateResponse = super().import_action(request, **options)
        crumbs = [{"title": "Countries", "url": reverse("admin:countries_country_changelist")}]
        added = {"title": "Import countries", "crumbs": crumbs, "columns": HEADER, "max_shown": MAX_SHOWN}
        response.context_data = (response.context_data or {}) | added
        return response

    def add_data_read_fail_error_to_form(self, form: FileForm, error: Exception) -> None:
        if not isinstance(error, InvalidCountriesError):
            raise error
        form.row_errors = error.errors
        form.file_name = form.cleaned_data["import_file"].name
        form.add_error("import_file", "This file has errors. Nothing was stored.")

    def process_import(self, request: HttpRequest, **options: Any) -> HttpResponse:
        """Store exactly what the preview showed, or nothing if the preview is out of date."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        if request.method != "POST":  # after a login, browsers open the page with GET
            messages.warning(request, NOT_CONFIRMED)
            return HttpResponseRedirect(reverse("admin:countries_country_import"))
        try:
            if not self.create_confirm_form(request).is_valid():
                raise BadSignature
            with transaction.atomic():
                lock_countries()
                response: HttpResponse = super().process_import(request, **options)
                return response
        except BadSignature:
            messages.error(request, OUT_OF_DATE)
            return HttpResponseRedirect(reverse("admin:countries_country_import"))

    def generate_log_entries(self, result: Result, request: HttpRequest) -> None:
        source = request.POST["original_file_name"][:200]
        LogEntry.objects.bulk_create(
            new_entry(
                request.user.pk,
                row.instance,
                f"Imported from {source}: {describe_country_changes(row.original, row.instance)}.",
                ADDITION if row.is_new() else CHANGE,
            )
            for row in result
        )

    def add_success_message(self, result: Result, request: HttpRequest) -> None:
        new, changed, unchanged = (result.totals[kind] for kind in ("new", "update", "skip"))
        messages.success(request, f"Imported: {new:,} new, {changed:,} changed, {unchanged:,} unchanged.")
