"""The admin's run log: staff look at runs and cancel running ones, but never add, change or delete one."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.defaultfilters import filesizeformat
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from analytics.backoffice.forms import labeled
from analytics.definitions.reports import (
    InvalidReportError,
    ReportDefinition,
    UnknownReportError,
    get_report,
    load_reports,
)
from analytics.models import FAILED_OUTCOMES, ReportRun, RunOutcome
from analytics.running.run_log import cancel_run, mark_lost_runs
from salesengine.backoffice import numbers
from salesengine.backoffice.base import (
    DayRangeFilter,
    FilteredList,
    ModelAdmin,
    NewestRowsPaginator,
    ReadOnly,
    ValuesFilter,
)

NONE = "-"  # as in the rest of the admin
FAILED = "failed"  # a choice of the filter that stands for several outcomes
PARAMETERS_LENGTH = 60  # characters in the list


class ReportFilter(ValuesFilter):
    """Filter runs by report, for the reports that exist now."""

    title = "report"
    parameter_name = "report"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(report.name, report.title) for report in load_reports()]


class OutcomeFilter(ValuesFilter):
    """Filter runs by outcome, or show all that failed."""

    title = "outcome"
    parameter_name = "outcome__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(FAILED, "failed (any reason)"), *RunOutcome.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == FAILED:
            return queryset.filter(outcome__in=FAILED_OUTCOMES)
        return super().queryset(request, queryset)


class RunList(FilteredList):
    """Give each run its report, reading all reports once."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        reports = {report.name: report for report in load_reports()}
        for run in self.result_list:
            run.definition = reports.get(run.report)


class ReportRunAdmin(ReadOnly, ModelAdmin[ReportRun]):
    list_display = (
        *("started_at", "report_title", "outcome_shown", "duration", "row_count", "size"),
        *("sender", "channel", "short_parameters"),
    )
    list_filter = (
        ReportFilter,
        OutcomeFilter,
        ("channel", ChoicesDropdownFilter),
        ("started_at", DayRangeFilter),
    )
    search_fields = ("sender__exact",)
    search_help_text = "The whole name of a user or an API key"
    ordering = ("-started_at", "-id")
    sortable_by = ("started_at",)
    paginator = NewestRowsPaginator
    change_form_template = "admin/analytics/reportrun/change_form.html"
    fields = (
        *("report_shown", "outcome_shown", "message_shown", "parameters_shown", "started_at"),
        *("duration", "row_count", "size", "format", "channel", "sender", "sql_since", "token"),
    )

    class Media:
        css = {"all": ["analytics/outcomes.css"]}

    def get_urls(self) -> list[URLPattern]:
        cancel_page = path(
            "<int:pk>/cancel/", self.admin_site.admin_view(self.cancel_view), name="analytics_reportrun_cancel"
        )
        return [cancel_page, *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReportRun]:
        mark_lost_runs()
        return super().get_queryset(request)

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[FilteredList]:
        return RunList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Report runs"} | (extra_context or {}))

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **options: Any) -> HttpResponse:  # type: ignore[override]
        run: ReportRun = context["original"]
        context["may_cancel"] = run.outcome == RunOutcome.RUNNING and run.may_be_cancelled_by(request.user)
        report = find_report(run.report)
        if report and request.user.has_perms(["analytics.view_report", *report.permissions]):
            query = urlencode(run.parameters | {"run": "1"})
            context["again_url"] = f"{reverse('admin:analytics_report', args=[run.report])}?{query}"
        return super().render_change_form(request, context, **options)

    def cancel_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        page = HttpResponseRedirect(reverse("admin:analytics_reportrun_change", args=[pk]))
        if request.method != "POST":  # after a login, browsers open the page with GET
            return page
        run = get_object_or_404(ReportRun, pk=pk)
        if not self.has_view_permission(request, run) or not run.may_be_cancelled_by(request.user):
            raise PermissionDenied
        if cancel_run(run.token):
            self.log_change(request, run, "Cancelled.")
            self.message_user(request, "The run is being cancelled.", messages.SUCCESS)
        else:
            self.message_user(request, "The run had already ended.", messages.WARNING)
        return page

    # Columns

    @admin.display(description="report")
    def report_title(self, run: ReportRun) -> str:
        report: ReportDefinition | None = run.definition  # type: ignore[attr-defined]  # RunList sets it
        return report.title if report else run.report

    @admin.display(description="parameters")
    def short_parameters(self, run: ReportRun) -> str:
        pairs = labeled(run.definition, run.parameters)  # type: ignore[attr-defined]
        text = ", ".join(f"{label}: {value}" for label, value in pairs if value)
        return text if len(text) <= PARAMETERS_LENGTH else f"{text[: PARAMETERS_LENGTH - 1]}…"

    @admin.display(description="duration")
    def duration(self, run: ReportRun) -> str:
        return NONE if run.seconds is None else numbers.duration(run.seconds)

    @admin.display(description="rows")
    def row_count(self, run: ReportRun) -> str:
        return NONE if run.rows is None else numbers.count(run.rows)

    @admin.display(description="size")
    def size(self, run: ReportRun) -> str:
        return NONE if run.bytes is None else filesizeformat(run.bytes)

    @admin.display(description="outcome")
    def outcome_shown(self, run: ReportRun) -> SafeString:
        return render_to_string("admin/analytics/outcome.html", {"run": run})

    # Fields of a run's page

    @admin.display(description="report")
    def report_shown(self, run: ReportRun) -> str:
        report = find_report(run.report)
        return f"{report.title} ({run.report})" if report else run.report

    @admin.display(description="message")
    def message_shown(self, run: ReportRun) -> SafeString | str:
        return format_html('<pre class="run-message">{}</pre>', run.message) if run.message else NONE

    @admin.display(description="parameters")
    def parameters_shown(self, run: ReportRun) -> SafeString | str:
        rows = [(label, text or NONE) for label, text in labeled(find_report(run.report), run.parameters)]
        lines = format_html_join("", "<dt>{}</dt><dd>{}</dd>", rows)
        return format_html('<dl class="report-parameters">{}</dl>', lines) if rows else NONE

    @admin.display(description="SQL")
    def sql_since(self, run: ReportRun) -> str:
        report = find_report(run.report)
        if report is None:
            return "The report's file is missing or invalid."
        return "Unchanged since this run." if report.sql_hash == run.sql_hash else "Changed since this run."


def find_report(name: str) -> ReportDefinition | None:
    """Return the report with this name, or None if its file is missing or invalid."""
    try:
        return get_report(name)
    except (UnknownReportError, InvalidReportError):
        return None
