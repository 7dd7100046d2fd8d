"""The page on which staff void or replace a sale: a form, and then a summary to confirm."""

import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.text import capfirst
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from countries.models import Country
from sales.corrections.schema import REASON_LENGTH, CorrectionMembers, read_corrections
from sales.corrections.voiding import Corrector, check_corrections, correct_sales, event_of
from sales.ingest.batches import Batch
from sales.ingest.fields import FIELDS, EventField
from sales.models import Sale, VoidedSale
from sales.totals.ledger import Origin
from salesengine.accounts.audit_log import describe_change, new_entry
from salesengine.backoffice.numbers import exact_text
from salesengine.http.errors import AlreadyCorrected, InvalidEvents, InvalidInput, SaleNotFound, SalesArchived

ACTIONS = {
    "void": "Void: this sale never happened",
    "replace": "Replace: something in this sale is wrong",
}
# A replacement keeps the EVENT_ID.
SHOWN = {name: field for name, field in FIELDS.items() if name != "EVENT_ID"}
COUNTRIES = {name for name, field in SHOWN.items() if field.model_field.is_relation}
UNCHANGED = "Nothing was changed. Change a field of the sale, or void it."


class FieldChange(NamedTuple):
    """A field that a replacement changes."""

    label: str
    old: str
    new: str


class CorrectionForm(forms.Form):
    """What to do with a sale, why, and all of its fields. A valid form has `batch` and `corrections`."""

    action = forms.ChoiceField(
        label="What is wrong?",
        choices=list(ACTIONS.items()),
        widget=forms.RadioSelect,
        error_messages={"required": "Choose one."},
    )
    reason = forms.CharField(
        max_length=REASON_LENGTH,
        widget=UnfoldAdminTextInputWidget,
        help_text="It stays with the voided sale. Everybody who may see sales can read it.",
        error_messages={"required": "Say why the sale is wrong."},
    )

    batch: Batch
    corrections: list[CorrectionMembers]

    def __init__(self, sale: Sale, corrector: Corrector, data: Any = None) -> None:
        self.sale, self.corrector = sale, corrector
        event = event_of(sale)
        super().__init__(data, initial={name: _as_text(event[name]) for name in SHOWN})  # type: ignore[literal-required]
        self.countries = {country.pk: f"{country.country_name} ({country.pk})" for country in Country.objects.all()}
        for name, field in SHOWN.items():
            self.fields[name] = self._country_field(name) if name in COUNTRIES and self.countries else _field(field)

    def _country_field(self, name: str) -> forms.Field:
        """Return a select of the countries, and of the sale's own country even if it is unknown."""
        current = self.initial[name]
        choices = self.countries | {current: self._shown(name, current)}
        label = capfirst(SHOWN[name].model_field.verbose_name)
        return forms.ChoiceField(
            label=label, required=False, choices=list(choices.items()), widget=UnfoldAdminSelectWidget
        )

    def clean(self) -> dict[str, Any] | None:
        """Validate the correction as the API does. Raises what `correct` raises."""
        cleaned = super().clean()
        if self.errors:
            return cleaned
        for name in SHOWN:
            if self.cleaned_data[name] != self.initial[name]:  # the spaces that a sender sent stay
                self.cleaned_data[name] = self.cleaned_data[name].strip()
        correction: dict[str, Any] = {"ID": self.sale.pk, "action": self.cleaned_data["action"]}
        correction["reason"] = self.cleaned_data["reason"]
        if correction["action"] == "replace":
            correction["sale"] = {
                name: self.cleaned_data[name] or (None if not field.is_required else "")
                for name, field in SHOWN.items()
            }
        self.batch = Batch([correction], list, is_list=False)
        try:
            self.corrections = read_corrections(self.batch)
            check_corrections(self.batch, self.corrections, self.corrector)
        except InvalidEvents as error:
            self._add_errors(error)
        except AlreadyCorrected:
            if not Sale.objects.filter(pk=self.sale.pk).exists():
                raise
            self.add_error(None, UNCHANGED)
        return cleaned

    def _add_errors(self, invalid: InvalidInput) -> None:
        for error in invalid.errors:
            name = str(error["pointer"]).rpartition("/")[2]
            self.add_error(name if name in self.fields else None, f"{capfirst(str(error['detail']))}.")

    @property
    def sale_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in SHOWN]

    @property
    def is_void(self) -> bool:
        return bool(self.cleaned_data["action"] == "void")

    @property
    def changes(self) -> list[FieldChange]:
        """Return what a replacement changes, in the order of the form."""
        if self.is_void:
            return []
        old: Any = event_of(self.sale)
        new: Any = self.corrections[0]["sale"]
        return [
            FieldChange(str(field.model_field.verbose_name), *(self._shown(name, event[name]) for event in (old, new)))
            for name, field in SHOWN.items()
            if old[name] != new[name]
        ]

    def _shown(self, name: str, value: Any) -> str:
        """Return a value as the summary and the audit log write it: "" for None, a date in UTC, a number exactly."""
        if name in COUNTRIES:
            return self.countries.get(value, f"unknown country {value}")
        if isinstance(value, datetime.datetime):
            return value.replace(tzinfo=None).isoformat(" ")
        return exact_text(value) if isinstance(value, Decimal) else value or ""

    def correct(self) -> VoidedSale:
        """Make the correction. Raises SaleNotFound, SalesArchived or AlreadyCorrected if somebody else was quicker."""
        [voided] = correct_sales(self.batch, self.corrections, self.corrector)
        return voided


def correction_page(request: HttpRequest, sale: Sale) -> HttpResponse:
    """Show the form, then what it would do, and do that once it is confirmed."""
    name = request.user.get_username()
    corrector = Corrector(f"user:{name}", Origin(f"user:{name}", f"correction by {name}"), own_only=False)
    form = CorrectionForm(sale, corrector, request.POST or None)
    sale_url = reverse("admin:sales_sale_change", args=[sale.pk])
    try:
        is_checked = form.is_valid() and "_back" not in request.POST
        if is_checked and "_confirm" in request.POST:
            return _report(request, form.correct(), form.changes)
    except (AlreadyCorrected, SaleNotFound, SalesArchived):
        return HttpResponseRedirect(sale_url)  # which says that the sale was voided or archived
    crumbs = [
        {"title": "Sales", "url": reverse("admin:sales_sale_changelist")},
        {"title": str(sale), "url": sale_url},
    ]
    context = {
        **admin.site.each_context(request),
        "title": f"Void or replace sale {sale.pk}",
        "crumbs": crumbs,
        "form": form,
        "sale": sale,
        "sale_url": sale_url,
        "is_checked": is_checked,
    }
    return TemplateResponse(request, "admin/sales/sale/correct.html", context)


def _report(request: HttpRequest, voided: VoidedSale, changes: list[FieldChange]) -> HttpResponse:
    """Write the audit log, and show the replacement, or else the voided sale."""
    done = "Voided."
    url = reverse("admin:sales_voidedsale_change", args=[voided.pk])
    if voided.replaced_by:
        described = "; ".join(f"{change.label}: {describe_change(change.old, change.new)}" for change in changes)
        done = f"Replaced by the sale {voided.replaced_by}: {described}."
        url = reverse("admin:sales_sale_change", args=[voided.replaced_by])
    new_entry(request.user.pk, voided, f"{done} Reason: {voided.reason}").save()
    shown = f"This sale takes the place of the sale {voided.pk}." if voided.replaced_by else "The sale was voided."
    messages.success(request, shown)
    return HttpResponseRedirect(url)


def _field(field: EventField) -> forms.Field:
    """Return a field that takes any text, because the schema validates it."""
    label = capfirst(field.model_field.verbose_name)
    if field.choices:
        choices = [("", "none"), *((value, value) for value in field.choices)]
        return forms.CharField(label=label, required=False, widget=UnfoldAdminSelectWidget(choices=choices))
    widget = UnfoldAdminTextInputWidget({"autocomplete": "off", "maxlength": field.max_length or None})
    return forms.CharField(label=label, required=False, strip=False, widget=widget)


def _as_text(value: object) -> str:
    """Return a value as a client would send it, without an exponent."""
    if isinstance(value, datetime.datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return f"{value:f}"
    return "" if value is None else str(value)
