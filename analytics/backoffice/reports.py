"""The admin's report pages: a list, a page for each report with its form and result, and downloads.

The URL of a page describes the whole run, so that users can share it: the report's parameters by name, and `page`,
`sort` and `run` (see `parse_row_range` and `WHOLE`).
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import chain
from typing import Any

from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse, reverse_lazy
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_GET

from analytics import models
from analytics.backoffice.forms import ReportForm
from analytics.backoffice.highlighting import highlighted_sql
from analytics.backoffice.last_runs import reports_by_topic
from analytics.backoffice.results import build_result_page, result_query
from analytics.definitions.reports import (
    InvalidReportError,
    ReportDefinition,
    UnknownReportError,
    get_report,
    invalid_reports,
    load_reports,
)
from analytics.models import Channel, ReportRun
from analytics.output.formats import FORMATS, CannotEncode, Format
from analytics.running.disconnects import cancel_on_disconnect
from analytics.running.errors import (
    AssertionFailed,
    Cancelled,
    ReportDatabaseUnavailable,
    ReportFailed,
    TimedOut,
    TooManyRuns,
    UnknownSortColumn,
)
from analytics.running.run_log import Caller, Run, cancel_run, logged_run
from analytics.running.runner import explain
from analytics.running.slots import slot
from salesengine.accounts.audit_log import new_entry
from salesengine.backoffice.base import ModelAdmin, ReadOnly

# Values of `run` in a URL: "1" shows a page that fetches the result with a token as its `run`, and "whole" shows a
# page that includes the result, for browsers without JavaScript.
WHOLE = "whole"
DEFAULT_RUN = {"run": "1"}  # a query without parameters
DOWNLOADS = {item.extension: item for item in FORMATS.values() if item.name != "table"}
# What a page says about an error, and the status of a download. 503 tells clients to try again later.
FAILURES: dict[type[Exception], tuple[str, HTTPStatus]] = {
    TimedOut: ("The report took too long.", HTTPStatus.SERVICE_UNAVAILABLE),
    Cancelled: ("The run was cancelled.", HTTPStatus.CONFLICT),
    AssertionFailed: ("The result failed an assertion, so it is not shown.", HTTPStatus.CONFLICT),
    ReportDatabaseUnavailable: ("The database is unavailable.", HTTPStatus.SERVICE_UNAVAILABLE),
    TooManyRuns: ("Too many reports are running at the moment.", HTTPStatus.SERVICE_UNAVAILABLE),
    UnknownSortColumn: ("The result cannot be sorted like this.", HTTPStatus.BAD_REQUEST),
    ReportFailed: ("The report failed.", HTTPStatus.UNPROCESSABLE_ENTITY),
    CannotEncode: ("The result does not fit into this format.", HTTPStatus.UNPROCESSABLE_ENTITY),
}
ALREADY_STARTED = {"failure": "This run has already been started.", "error": "Run the report again."}
LIST_CRUMB = {"title": "Reports", "url": reverse_lazy("admin:analytics_report_changelist")}

may_view, may_explain, may_export = (
    permission_required(f"analytics.{action}_report", raise_exception=True) for action in ("view", "explain", "export")
)


class ReportAdmin(ReadOnly, ModelAdmin[models.Report]):
    """Replace the pages about a table's rows, because reports are files."""

    def get_urls(self) -> list[URLPattern]:
        pages: list[tuple[str, Callable[..., HttpResponseBase], str]] = [
            ("", self.list_page, "analytics_report_changelist"),
            ("<slug:name>/", self.report_page, "analytics_report"),
            ("<slug:name>/result/", self.result_part, "analytics_report_result"),
            ("<slug:name>/cancel/", self.cancel_run, "analytics_report_cancel"),
            ("<slug:name>/explain/", self.explain_page, "analytics_report_explain"),
            ("<slug:name>.<slug:extension>", self.download, "analytics_report_download"),
        ]
        return [path(route, self.admin_site.admin_view(may_view(view)), name=name) for route, view, name in pages]

    # Pages

    def list_page(self, request: HttpRequest) -> HttpResponse:
        allowed = [report for report in load_reports() if request.user.has_perms(report.permissions)]
        context = {
            "topics": reports_by_topic(allowed),
            "invalid_reports": invalid_reports(),
            "may_view_runs": request.user.has_perm("analytics.view_reportrun"),
        }
        return self._response(request, "list", "Reports", context)

    def report_page(self, request: HttpRequest, name: str) -> HttpResponse:
        form = ReportForm(_find(request, name), request.GET)
        if "run" not in request.GET or not form.is_valid():
            return self._report_response(request, form)
        if request.GET["run"] == WHOLE and request.method == "GET":
            return self._report_response(request, form, **_outcome(request, form))
        token = str(uuid.uuid4())
        return self._report_response(
            request,
            form,
            token=token,
            result_query=result_query(request.GET, run=token),
            whole_query=result_query(request.GET, run=WHOLE),
        )

    @method_decorator(require_GET)  # HEAD would run the report for nothing
    def result_part(self, request: HttpRequest, name: str) -> HttpResponse:
        """Return the HTML that a report's page fetches: the result, or the reason why there is none."""
        form = ReportForm(_find(request, name), request.GET)
        token = _token(request.GET.get("run", ""))
        context: dict[str, Any] = ALREADY_STARTED
        status = HTTPStatus.CONFLICT
        if token and not ReportRun.objects.filter(token=token).exists():
            if form.is_valid():
                with suppress(IntegrityError):  # another request started it at the same time
                    context, status = _outcome(request, form, token), HTTPStatus.OK
            else:
                context, status = {}, HTTPStatus.BAD_REQUEST
        return TemplateResponse(
            request,
            "admin/analytics/report/result.html",
            context | {"form": form},
            status=status,
            headers={"Report-Result": "1"},  # report_run.js shows no other page, such as the login
        )

    def cancel_run(self, request: HttpRequest, name: str) -> HttpResponse:
        """Cancel the run with the posted token, whichever process runs it."""
        if request.method != "POST":  # somebody opened the URL, or has just logged in again
            return HttpResponseRedirect(reverse("admin:analytics_report", args=[name]))
        run = get_object_or_404(ReportRun, token=_token(request.POST.get("run", "")), report=name)
        if not run.may_be_cancelled_by(request.user):
            raise PermissionDenied
        if cancel_run(run.token) and not run.belongs_to(request.user):
            new_entry(request.user.pk, run, "Cancelled.").save()
        return HttpResponse(status=HTTPStatus.NO_CONTENT)

    @method_decorator([require_GET, may_explain])
    def explain_page(self, request: HttpRequest, name: str) -> HttpResponse:
        """Show PostgreSQL's plan for the report with these parameters."""
        report = _find(request, name)
        form = ReportForm(report, request.GET or DEFAULT_RUN)
        if not form.is_valid():
            return self._report_response(request, form, status=HTTPStatus.BAD_REQUEST)
        try:
            plan = {"plan": explain(report, form.bound_parameters)}
        except ReportFailed as error:
            plan = _failure(error)
        back_url = reverse("admin:analytics_report", args=[name]) + result_query(request.GET, run="")
        crumbs = [LIST_CRUMB, {"title": report.title, "url": back_url}]
        context = {"form": form, "report": report, "back_url": back_url, "crumbs": crumbs}
        return self._response(request, "explain", "Plan", context | plan)

    @method_decorator([require_GET, may_export])  # HEAD would run the report for nothing
    def download(self, request: HttpRequest, name: str, extension: str) -> HttpResponseBase:
        if extension not in DOWNLOADS:
            raise Http404(f"There is no format {extension!r}. The formats are {', '.join(DOWNLOADS)}.")
        file_format = DOWNLOADS[extension]
        form = ReportForm(_find(request, name), request.GET or DEFAULT_RUN)
        if not form.is_valid():
            return self._report_response(request, form, status=HTTPStatus.BAD_REQUEST)
        pieces = _download(request, form, file_format)
        try:
            next(pieces)
        except (ReportFailed, CannotEncode) as error:
            _, status = FAILURES[type(error)]
            return self._report_response(request, form, status=status, **_failure(error))
        file_name = f"{name}_{datetime.now(UTC):%Y-%m-%d}.{extension}"
        headers = {"Content-Disposition": f'attachment; filename="{file_name}"'}
        return StreamingHttpResponse(pieces, content_type=file_format.media_type, headers=headers)

    # Responses

    def _report_response(
        self, request: HttpRequest, form: ReportForm, status: int = HTTPStatus.OK, **context: Any
    ) -> HttpResponse:
        context |= {
            "report": form.report,
            "crumbs": [LIST_CRUMB],
            "form": form,
            "sql": highlighted_sql(form.report.sql),
            "downloads": DOWNLOADS.values(),
            "sort": request.GET.get("sort", ""),
            "may_export": request.user.has_perm("analytics.export_report"),
            "may_explain": request.user.has_perm("analytics.explain_report"),
        }
        return self._response(request, "report", form.report.title, context, status)

    def _response(
        self, request: HttpRequest, template: str, title: str, context: dict[str, Any], status: int = HTTPStatus.OK
    ) -> HttpResponse:
        context = self.admin_site.each_context(request) | {"title": title, "opts": self.opts, "crumbs": []} | context
        return TemplateResponse(request, f"admin/analytics/report/{template}.html", context, status=status)


def _find(request: HttpRequest, name: str) -> ReportDefinition:
    """Return a report that the user may run. Raises Http404 and PermissionDenied."""
    try:
        report = get_report(name)
    except (UnknownReportError, InvalidReportError) as error:
        raise Http404(str(error)) from None
    if not request.user.has_perms(report.permissions):
        raise PermissionDenied
    return report


def _token(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


# Running


def _outcome(request: HttpRequest, form: ReportForm, token: uuid.UUID | None = None) -> dict[str, Any]:
    """Run the report of a valid form, and return the template context of its result or failure."""
    try:
        with _run(request, form, format="page", row_range=form.row_range, token=token) as run:
            rows = list(run.result.rows)
    except ReportFailed as error:
        return _failure(error)
    return {"result": build_result_page(form, run.result, rows, request.user)}


def _download(request: HttpRequest, form: ReportForm, file_format: Format) -> Iterator[bytes]:
    """Yield the file in pieces, after an empty piece as soon as there are rows.

    An error before the empty piece can still become an error page. A later error breaks the connection, so that the
    client does not take half a file for a whole one.
    """
    all_rows = replace(form.row_range, limit=None, offset=0)
    with _run(request, form, format=file_format.name, row_range=all_rows) as run:
        run.bytes = 0
        pieces = file_format.encode(run.result, safe_cells=True, title=form.report.title)
        first_pieces = []
        for piece in pieces:  # the first piece may have only the column names
            first_pieces.append(piece)
            if run.result.row_count:
                break
        yield b""
        for piece in chain(first_pieces, pieces):
            run.bytes += len(piece)
            yield piece


@contextmanager
def _run(request: HttpRequest, form: ReportForm, **options: Any) -> Iterator[Run]:
    """Run the report of a valid form, until the browser disconnects. `options` are those of `logged_run`."""
    caller = Caller(Channel.ADMIN, request.user.get_username())
    watcher = cancel_on_disconnect(request)
    with slot(), logged_run(form.report, form.bound_parameters, caller, watcher=watcher, **options) as run:
        yield run


def _failure(error: Exception) -> dict[str, Any]:
    """Return the template context of an error."""
    failure, _ = FAILURES[type(error)]
    return {"failure": failure, "error": str(error)}
