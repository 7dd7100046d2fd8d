"""What staff did, and who logged in or failed to: three lists that nobody can change, the newest first.

They are sorted by their ids, which grow with time and have an index, and go back MAX_LISTED_ROWS rows.
"""

from datetime import datetime
from ipaddress import ip_address
from typing import Any, ClassVar

from axes.models import AccessBase, AccessFailureLog, AccessLog
from django.contrib import admin
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.admin.views.main import ChangeList
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter

from salesengine.accounts.audit_log import find_address
from salesengine.backoffice.base import (
    MAX_LISTED_ROWS,
    DayRangeFilter,
    ModelAdmin,
    NewestRowsPaginator,
    ReadOnly,
    ValuesFilter,
)

DID = {ADDITION: "added", CHANGE: "changed", DELETION: "deleted"}
NEWEST = f"The list holds the newest {MAX_LISTED_ROWS:,} that match."


class KindFilter(ValuesFilter):
    """A filter by what was changed, among all that the back office has."""

    title = "what"
    parameter_name = "content_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        kinds = ContentType.objects.get_for_models(*admin.site._registry, for_concrete_models=False)
        return sorted(((str(kind.pk), kind.name) for kind in kinds.values()), key=lambda kind: kind[1])

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value and not value.isdecimal():
            return queryset.none()
        return super().queryset(request, queryset)


class LogList(ChangeList):
    """Knows where each entry leads."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        for entry in self.result_list:
            entry.address = find_address(entry, request)


@admin.register(LogEntry)
class LogEntryAdmin(ReadOnly, ModelAdmin[LogEntry]):
    list_display = ("when", "who", "did", "kind", "what", "change")
    list_select_related = ("user", "content_type")
    list_filter = (
        ("user", RelatedDropdownFilter),
        ("action_flag", ChoicesDropdownFilter),
        KindFilter,
        ("action_time", DayRangeFilter),
    )
    ordering = ("-id",)
    sortable_by = ()
    paginator = NewestRowsPaginator
    fields = ("when", "who", "did", "kind", "what", "change")

    class Media:
        css = {"all": ["salesengine/people.css"]}

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(request, {"title": "What staff did", "crumbs": []} | (extra_context or {}))

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return LogList

    @admin.display(description="when (UTC)")
    def when(self, entry: LogEntry) -> datetime:
        return entry.action_time

    @admin.display(description="who")
    def who(self, entry: LogEntry) -> str:
        return entry.user.get_username()

    @admin.display(description="did")
    def did(self, entry: LogEntry) -> str:
        return DID[entry.action_flag]

    @admin.display(description="kind")
    def kind(self, entry: LogEntry) -> str:
        return entry.content_type.name if entry.content_type else ""

    @admin.display(description="which")
    def what(self, entry: LogEntry) -> str:
        address = getattr(entry, "address", None)  # LogList sets it
        return format_html('<a href="{}">{}</a>', address, entry.object_repr) if address else entry.object_repr

    @admin.display(description="what changed")
    def change(self, entry: LogEntry) -> str:
        return format_html('<span class="log-change">{}</span>', entry.get_change_message())


class LogInAdmin(ReadOnly, ModelAdmin[Any]):
    heading: ClassVar[str]
    list_filter = (("attempt_time", DayRangeFilter),)
    search_fields = ("username__exact", "ip_address__exact")
    search_help_text = f"The whole name of a user, or an address. {NEWEST}"
    ordering = ("-id",)
    sortable_by = ()
    paginator = NewestRowsPaginator

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(request, {"title": self.heading, "crumbs": []} | (extra_context or {}))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """One of the two, each of which has an index; either or both would be looked for in all rows."""
        text = search_term.strip()
        if not text:
            return queryset, False
        try:
            return queryset.filter(ip_address=str(ip_address(text))), False
        except ValueError:
            return queryset.filter(username=text), False

    @admin.display(description="when (UTC)")
    def when(self, log_in: AccessBase) -> datetime:
        return log_in.attempt_time  # type: ignore[no-any-return]  # axes has no types

    @admin.display(description="address")
    def address(self, log_in: AccessBase) -> str:
        return log_in.ip_address or "unknown"

    @admin.display(description="browser")
    def browser(self, log_in: AccessBase) -> str:
        return log_in.user_agent  # type: ignore[no-any-return]


@admin.register(AccessLog)
class AccessLogAdmin(LogInAdmin):
    heading = "Log-ins"
    list_display = fields = ("when", "username", "address", "until", "browser")

    @admin.display(description="logged out (UTC)", empty_value="not yet, or by time")
    def until(self, log_in: AccessLog) -> datetime | None:
        return log_in.logout_time  # type: ignore[no-any-return]


@admin.register(AccessFailureLog)
class AccessFailureLogAdmin(LogInAdmin):
    heading = "Log-ins that failed"
    list_display = fields = ("when", "username", "address", "was_locked", "browser")

    @admin.display(description="locked out", boolean=True)
    def was_locked(self, log_in: AccessFailureLog) -> bool:
        return log_in.locked_out  # type: ignore[no-any-return]
