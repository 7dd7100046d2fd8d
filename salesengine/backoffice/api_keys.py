"""The pages where staff create, change and revoke API keys."""

import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from rest_framework_api_key.models import APIKey as LibraryAPIKey
from unfold.contrib.filters.admin import DropdownFilter

from salesengine.accounts.api_keys import CACHE_SECONDS, create_key
from salesengine.accounts.models import APIKey, KeyState, Scope, in_state
from salesengine.backoffice.base import ModelAdmin
from salesengine.plurals import counted

NEW_KEY = (
    "The next page shows the key only once: copy it there. A client may have two valid keys. To replace a key, create "
    "a second one with the same name, switch the client to it, then revoke the first."
)
CREATED_ALREADY = (
    'After this page was opened, <a href="{}">the key {}</a> was created for “{}”. Keys are shown only once: revoke '
    'it if nobody has copied it. <a href="{}">Open the page again</a> to create another key.'
)
DELAY = f"Changes take effect within {CACHE_SECONDS} seconds."

admin.site.unregister(LibraryAPIKey)  # the library's own keys are not used


class KeyStateFilter(DropdownFilter):  # type: ignore[misc]  # unfold has no types
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return KeyState.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[APIKey]) -> QuerySet[APIKey]:
        state = self.value()
        return queryset.filter(in_state(KeyState(state))) if state in KeyState.values else queryset


class APIKeyForm(forms.ModelForm[APIKey]):
    scopes = forms.MultipleChoiceField(
        choices=Scope.choices,
        widget=forms.CheckboxSelectMultiple(attrs={"class": "radiolist"}),  # the admin's layout for choices
        help_text="What the client may do with this key. Select only what it needs.",
    )

    allowed: frozenset[str] = frozenset()  # the scopes that the user may add to a key

    def clean_expiry_date(self) -> datetime.datetime | None:
        """Refuse to prolong a key that may do more than the user."""
        new: datetime.datetime | None = self.cleaned_data["expiry_date"]
        old = self.instance.expiry_date
        is_later = old is not None and (new is None or new > old)
        if is_later and (more := [scope for scope in self.instance.scopes or () if scope not in self.allowed]):
            raise forms.ValidationError(f"You may not prolong a key that may do more than you: {', '.join(more)}.")
        return new

    def clean_scopes(self) -> list[str]:
        scopes: list[str] = self.cleaned_data["scopes"]
        if refused := [scope for scope in scopes if scope not in self.allowed.union(self.instance.scopes or ())]:
            raise forms.ValidationError(f"You may not give a key more than you may do yourself: {', '.join(refused)}.")
        return scopes

    class Meta:
        labels = {"last_used": "last used (UTC)", "created": "created (UTC)"}
        help_texts = {
            "expiry_date": "The key is refused from this time (UTC) on. Without a time, it never expires.",
            "revoked": "Select this when the client no longer needs the key, or when somebody else may know it. "
            "The key is then refused forever: you cannot undo this.",
        }


class NewAPIKeyForm(APIKeyForm):
    """The form of a new key. It creates one key for a client, even if the browser sends it twice."""

    opened = forms.DateTimeField(required=False, widget=forms.HiddenInput)

    def full_clean(self) -> None:
        """Look for a newer key of the client after the checks of the model, which lock the client."""
        super().full_clean()
        if not self.is_bound or not self.cleaned_data.get("opened"):
            return
        newer = APIKey.objects.filter(name=self.instance.name, created__gt=self.cleaned_data["opened"])
        if key := newer.first():
            url = reverse("admin:salesengine_apikey_change", args=[key.pk])
            again_url = reverse("admin:salesengine_apikey_add")
            self.add_error(None, format_html(CREATED_ALREADY, url, key.prefix, key.name, again_url))


@admin.register(APIKey)
class APIKeyAdmin(ModelAdmin[APIKey]):
    list_display = ("prefix", "name", "state", "scope_names", "expires_at", "last_used_at", "created_at")
    empty_value_display = "never"  # of the times that may be missing
    list_filter = (KeyStateFilter,)
    search_fields = ("name", "prefix")
    search_help_text = "Part of a client name, or the first characters of a key"
    actions = ("revoke",)

    def get_fieldsets(self, request: HttpRequest, obj: APIKey | None = None) -> Any:
        if obj is None:
            return [(None, {"fields": ("name", "scopes", "expiry_date", "opened"), "description": NEW_KEY})]
        fields = ("prefix", "name", "state", "scopes", "expiry_date", "last_used", "created")
        if obj.revoked:
            return [(None, {"fields": fields})]
        return [(None, {"fields": (*fields[:5], "revoked", *fields[5:]), "description": DELAY})]

    def get_form(self, request: HttpRequest, obj: APIKey | None = None, *args: Any, **options: Any) -> Any:
        form_class = APIKeyForm if obj else NewAPIKeyForm
        form = super().get_form(request, obj, *args, form=form_class, **options)
        permissions = {scope: [scope.permission] for scope in Scope}
        permissions[Scope.REPORTS].append("analytics.export_report")  # keys get whole results, in all formats
        form.allowed = frozenset(scope for scope in Scope if request.user.has_perms(permissions[scope]))  # type: ignore[attr-defined]
        return form

    def get_readonly_fields(self, request: HttpRequest, obj: APIKey | None = None) -> tuple[str, ...]:
        return ("prefix", "name", "state", "last_used", "created") if obj else ()

    def has_change_permission(self, request: HttpRequest, obj: APIKey | None = None) -> bool:
        return super().has_change_permission(request, obj) and not (obj and obj.revoked)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Return only the time, so that no link fills in the form."""
        return {"opened": timezone.now()}

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Offer one button to save, because the next page shows the key."""
        hidden = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, hidden | (extra_context or {}))

    def save_model(self, request: HttpRequest, obj: APIKey, form: Any, change: bool) -> None:
        if change:
            # Save only the changed fields: somebody may have revoked the key meanwhile.
            obj.save(update_fields=form.changed_data)
            return
        key = create_key(obj.name, obj.scopes, obj.expiry_date)
        obj.pk = key.partition(".")[0]
        obj.refresh_from_db()
        request.new_key = key  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: APIKey, post_url_continue: str | None = None) -> HttpResponse:
        """Show the key in the response itself, which browsers do not store. A message would travel in a cookie."""
        shown = {"title": "New API key", "opts": self.opts, "client": obj.name, "key": request.new_key}  # type: ignore[attr-defined]
        context = self.admin_site.each_context(request) | shown
        return TemplateResponse(request, "admin/new_api_key.html", context)

    @admin.action(description="Revoke selected API keys (you cannot undo this)", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[APIKey]) -> None:
        keys = list(queryset.filter(revoked=False))
        queryset.filter(pk__in=[key.pk for key in keys]).update(revoked=True)
        for key in keys:
            self.log_change(request, key, "Revoked.")
        messages.success(
            request, f"Revoked {counted(len(keys), 'API key')}. Requests are refused within {CACHE_SECONDS} seconds."
        )

    # Columns

    @admin.display(description="expires (UTC)", ordering="expiry_date")
    def expires_at(self, key: APIKey) -> datetime.datetime | None:
        return key.expiry_date

    @admin.display(description="last used (UTC)", ordering="last_used")
    def last_used_at(self, key: APIKey) -> datetime.datetime | None:
        return key.last_used

    @admin.display(description="created (UTC)", ordering="created")
    def created_at(self, key: APIKey) -> datetime.datetime:
        return key.created

    @admin.display(description="scopes", ordering="scopes")
    def scope_names(self, key: APIKey) -> str:
        return ", ".join(key.scopes)
