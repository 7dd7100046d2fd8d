"""Staff run reports here: a list, a page for each, and its result as a table and a CSV download."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import islice
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_GET

from analytics import models
from analytics.exports import csv_text, text_for_people
from analytics.reports import InvalidReportError, Report, UnknownReportError, find_report, invalid_reports, load_reports
from analytics.runner import Column, ReportFailed, run

SHOWN_ROWS = 1_000


@dataclass(frozen=True)
class Cell:
    """One cell of the table on the page."""

    text: str
    is_number: bool


@dataclass(frozen=True)
class ShownResult:
    """The part of a result that the page shows."""

    columns: list[Column]
    rows: list[list[Cell]]
    is_cut: bool

    @property
    def summary(self) -> str:
        number = f"{len(self.rows):,} row{'' if len(self.rows) == 1 else 's'}"
        return f"The first {number}; there are more, and the CSV has them all." if self.is_cut else f"{number}."


@admin.register(models.Report)
class ReportAdmin(admin.ModelAdmin[models.Report]):
    """Replaces the pages about rows of a table, since reports have none."""

    def get_urls(self) -> list[URLPattern]:
        return [
            path("", self._for_viewers(self.list_page), name="analytics_report_changelist"),
            path("<slug:name>/", self._for_viewers(self.report_page), name="analytics_report"),
            path("<slug:name>.csv", self._for_viewers(self.csv_download), name="analytics_report_csv"),
        ]

    def _for_viewers(self, view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        """`view` for staff who may view reports, and nobody else."""

        def checked_view(request: HttpRequest, **arguments: str) -> HttpResponseBase:
            if not self.has_view_permission(request):
                raise PermissionDenied
            return view(request, **arguments)

        return self.admin_site.admin_view(checked_view)

    def list_page(self, request: HttpRequest) -> HttpResponse:
        context = {"reports": load_reports(), "invalid_reports": invalid_reports()}
        return self._answer(request, "list", "Reports", context)

    def report_page(self, request: HttpRequest, name: str) -> HttpResponse:
        report = _find_or_404(name)
        if "run" not in request.GET:
            return self._report_answer(request, report)
        try:
            return self._report_answer(request, report, result=_shown_result(report))
        except ReportFailed as error:
            return self._report_answer(request, report, error=error)

    @method_decorator(require_GET)  # HEAD would run the report for nothing
    def csv_download(self, request: HttpRequest, name: str) -> HttpResponseBase:
        report = _find_or_404(name)
        lines = _running_csv(report)
        try:
            next(lines)
        except ReportFailed as error:
            response = self._report_answer(request, report, error=error)
            response.status_code = HTTPStatus.SERVICE_UNAVAILABLE  # this is not the file that was asked for
            return response
        file_name = f"{report.name}_{datetime.now(UTC):%Y-%m-%d}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{file_name}"'}
        return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)

    def _report_answer(self, request: HttpRequest, report: Report, **context: Any) -> HttpResponse:
        return self._answer(request, "report", report.title, {"report": report} | context)

    def _answer(self, request: HttpRequest, template: str, title: str, context: dict[str, Any]) -> HttpResponse:
        context = self.admin_site.each_context(request) | {"title": title, "opts": self.opts} | context
        return TemplateResponse(request, f"admin/analytics/report/{template}.html", context)

    # The index offers what these allow.

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Report | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Report | None = None) -> bool:
        return False


def _find_or_404(name: str) -> Report:
    try:
        return find_report(name)
    except (UnknownReportError, InvalidReportError) as error:
        raise Http404(str(error)) from None


def _shown_result(report: Report) -> ShownResult:
    """The first rows of a result; one more is fetched to know whether there are more."""
    with run(report) as result:
        rows = list(islice(result.rows, SHOWN_ROWS + 1))
    cells = [
        [Cell(text_for_people(value), column.is_number) for value, column in zip(row, result.columns, strict=True)]
        for row in rows[:SHOWN_ROWS]
    ]
    return ShownResult(result.columns, cells, is_cut=len(rows) > SHOWN_ROWS)


def _running_csv(report: Report) -> Iterator[str]:
    """The download. What it gives first is nothing, once the report runs: until then an error can still be a page.

    A later error breaks the connection, so that half a file does not pass for a whole one.
    """
    with run(report) as result:
        yield ""
        yield from csv_text(result, safe_cells=True)
