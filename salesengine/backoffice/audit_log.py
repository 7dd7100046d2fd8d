"""The audit log, the logins and the failed logins: read-only lists of the newest MAX_LISTED_ROWS entries."""

from ipaddress import ip_address
from typing import Any, ClassVar

from axes.models import AccessBase, AccessFailureLog, AccessLog
from django.contrib import admin
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.formats import localize
from django.utils.html import format_html
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter

from salesengine.backoffice.base import (
    DayRangeFilter,
    FilteredList,
    ModelAdmin,
    NewestRowsPaginator,
    ReadOnly,
    ValuesFilter,
)

ACTIONS = {ADDITION: "added", CHANGE: "changed", DELETION: "deleted"}


class ModelFilter(ValuesFilter):
    """Filter by the changed model. Offer all models that the back office has pages for."""

    title = "kind"
    parameter_name = "content_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        types = ContentType.objects.get_for_models(*admin.site._registry, for_concrete_models=False)
        return sorted(((str(each.pk), each.name) for each in types.values()), key=lambda choice: choice[1])

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value and not value.isdecimal():
            return queryset.none()
        return super().queryset(request, queryset)


class ActionFilter(ChoicesDropdownFilter):  # type: ignore[misc]  # unfold has no types
    """Filter by action, under the title of the column."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.title = "action"


class WhenFilter(DayRangeFilter):
    """Filter by day, under the title of the column."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.title = "when (UTC)"


class AuditLogList(FilteredList):
    """Add to each entry the URL of the changed row's page, if the user may open it."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        for entry in self.result_list:
            model = entry.content_type and entry.content_type.model_class()
            page = admin.site._registry.get(model)
            may_open = page and not entry.is_deletion() and page.has_view_permission(request)
            entry.url = entry.get_admin_url() if may_open else None


class NewestFirst(ReadOnly, ModelAdmin[Any]):
    """A list under `heading`, sorted by id, which grows with time and has an index."""

    heading: ClassVar[str]
    ordering = ("-id",)
    sortable_by = ()
    paginator = NewestRowsPaginator

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(request, {"title": self.heading, "crumbs": []} | (extra_context or {}))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        url = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        context = {"title": "Entry", "crumbs": [{"title": self.heading, "url": url}]} | (extra_context or {})
        return super().change_view(request, object_id, form_url, context)


@admin.register(LogEntry)
class LogEntryAdmin(NewestFirst):
    heading = "Audit log"
    list_display = fields = ("when", "username", "action", "kind", "row", "change")
    list_select_related = ("user", "content_type")
    list_filter = (
        ("user", RelatedDropdownFilter),
        ("action_flag", ActionFilter),
        ModelFilter,
        ("action_time", WhenFilter),
    )

    class Media:
        css = {"all": ["salesengine/accounts.css"]}

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[FilteredList]:
        return AuditLogList

    @admin.display(description="when (UTC)")
    def when(self, entry: LogEntry) -> str:
        return localize(entry.action_time)

    @admin.display(description="user")
    def username(self, entry: LogEntry) -> str:
        return entry.user.get_username()

    @admin.display(description="action")
    def action(self, entry: LogEntry) -> str:
        return ACTIONS[entry.action_flag]

    @admin.display(description="kind")
    def kind(self, entry: LogEntry) -> str:
        return entry.content_type.name if entry.content_type else ""

    @admin.display(description="name")
    def row(self, entry: LogEntry) -> str:
        url = getattr(entry, "url", None)  # AuditLogList sets it
        return format_html('<a href="{}">{}</a>', url, entry.object_repr) if url else entry.object_repr

    @admin.display(description="change")
    def change(self, entry: LogEntry) -> str:
        return format_html('<span class="log-change">{}</span>', entry.get_change_message())


class LoginAdmin(NewestFirst):
    list_filter = (("attempt_time", WhenFilter),)
    search_fields = ("username__exact", "ip_address__exact")
    search_help_text = "A complete username or IP address"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search either by IP address or by username: each has an index, but a search by both would read all rows."""
        text = search_term.strip()
        if not text:
            return queryset, False
        try:
            return queryset.filter(ip_address=str(ip_address(text))), False
        except ValueError:
            return queryset.filter(username=text), False

    @admin.display(description="when (UTC)")
    def when(self, login: AccessBase) -> str:
        return localize(login.attempt_time)  # type: ignore[no-any-return]  # axes has no types

    @admin.display(description="address")
    def address(self, login: AccessBase) -> str:
        return login.ip_address or "unknown"

    @admin.display(description="browser")
    def browser(self, login: AccessBase) -> str:
        return login.user_agent  # type: ignore[no-any-return]


@admin.register(AccessLog)
class AccessLogAdmin(LoginAdmin):
    heading = "Logins"
    row_name = "login"
    list_display = fields = ("when", "username", "address", "logged_out", "browser")

    @admin.display(description="logged out (UTC)")
    def logged_out(self, login: AccessLog) -> str:
        return localize(login.logout_time) if login.logout_time else "not yet, or expired"


@admin.register(AccessFailureLog)
class AccessFailureLogAdmin(LoginAdmin):
    heading = "Failed logins"
    row_name = "failed login"
    list_display = fields = ("when", "username", "address", "was_locked", "browser")

    @admin.display(description="locked out", boolean=True)
    def was_locked(self, login: AccessFailureLog) -> bool:
        return login.locked_out  # type: ignore[no-any-return]
