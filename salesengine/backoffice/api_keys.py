"""The pages where staff create, change and revoke API keys."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
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
DELAY = f"Changes take effect within {CACHE_SECONDS} seconds."
SHOWN_ONCE = (
    "This is the new API key of “{}”. Copy it now: it is shown only once, and nobody can look it up later.<br>"
    '<code style="user-select: all; overflow-wrap: anywhere; font-size: 1rem">{}</code>'
)

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

    class Meta:
        help_texts = {
            "expiry_date": "The key is refused from this time (UTC) on. Without a time, it never expires.",
            "revoked": "Select this when the client no longer needs the key, or when somebody else may know it. "
            "The key is then refused forever: you cannot undo this.",
        }


@admin.register(APIKey)
class APIKeyAdmin(ModelAdmin[APIKey]):
    form = APIKeyForm
    list_display = ("prefix", "name", "state", "scope_names", "expiry_date", "last_used", "created")
    empty_value_display = "never"  # of the times that may be missing
    list_filter = (KeyStateFilter,)
    search_fields = ("name", "prefix")
    search_help_text = "Part of a client name, or the first characters of a key"
    actions = ("revoke",)

    def get_fieldsets(self, request: HttpRequest, obj: APIKey | None = None) -> Any:
        if obj is None:
            return [(None, {"fields": ("name", "scopes", "expiry_date"), "description": NEW_KEY})]
        fields = ("prefix", "name", "state", "scopes", "expiry_date", "last_used", "created")
        if obj.revoked:
            return [(None, {"fields": fields})]
        return [(None, {"fields": (*fields[:5], "revoked", *fields[5:]), "description": DELAY})]

    def get_readonly_fields(self, request: HttpRequest, obj: APIKey | None = None) -> tuple[str, ...]:
        return ("prefix", "name", "state", "last_used", "created") if obj else ()

    def has_change_permission(self, request: HttpRequest, obj: APIKey | None = None) -> bool:
        return super().has_change_permission(request, obj) and not (obj and obj.revoked)

    def save_model(self, request: HttpRequest, obj: APIKey, form: Any, change: bool) -> None:
        if change:
            # Save only the changed fields: somebody may have revoked the key meanwhile.
            obj.save(update_fields=form.changed_data)
            return
        key = create_key(obj.name, obj.scopes, obj.expiry_date)
        obj.pk = key.partition(".")[0]
        obj.refresh_from_db()
        messages.warning(request, format_html(SHOWN_ONCE, obj.name, key))

    @admin.action(description="Revoke selected API keys (you cannot undo this)", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[APIKey]) -> None:
        keys = list(queryset.filter(revoked=False))
        queryset.filter(pk__in=[key.pk for key in keys]).update(revoked=True)
        for key in keys:
            self.log_change(request, key, "Revoked.")
        messages.success(
            request, f"Revoked {counted(len(keys), 'API key')}. Requests are refused within {CACHE_SECONDS} seconds."
        )

    @admin.display(description="scopes", ordering="scopes")
    def scope_names(self, key: APIKey) -> str:
        return ", ".join(key.scopes)
