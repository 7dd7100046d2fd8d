"""Staff run reports here: a list, a page for each with its form and its result, and downloads.

An address holds all that a run is asked for, so that it can be sent to somebody else: the report's parameters by their
names, and `page`, `sort` and `run` (see `analytics.backoffice.forms`, `WHOLE`).
"""

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import chain
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_GET, require_POST

from analytics import models
from analytics.backoffice.forms import ReportForm
from analytics.backoffice.highlighting import highlighted_sql
from analytics.backoffice.results import build_result_page, result_address
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
)
from analytics.running.last_runs import reports_by_topic
from analytics.running.rows import ALL_ROWS, RowRange
from analytics.running.run_log import Caller, Run, cancel_run, logged_run
from analytics.running.runner import explain
from salesengine.backoffice.base import ModelAdmin, ReadOnly

# `run` in an address: "1" is a page that fetches the result, this a page that has it; that of a result is its token.
WHOLE = "whole"
RUN = {"run": "1"}  # an address that leaves every parameter to its default
DOWNLOADS = {each.extension: each for each in FORMATS.values() if each.name != "table"}
FAILURES: dict[type[Exception], str] = {
    TimedOut: "The report took too long.",
    Cancelled: "The run was cancelled.",
    AssertionFailed: "The result is not as it must be, so it is not shown.",
    ReportDatabaseUnavailable: "The database does not answer.",
    ReportFailed: "The report failed.",
    CannotEncode: "The result does not fit into this format.",
}
BEGUN_ALREADY = {"failure": "This run was begun already.", "error": "Run the report again."}

View = Callable[..., HttpResponseBase]


class ReportAdmin(ReadOnly, ModelAdmin[models.Report]):
    """Replaces the pages about rows of a table, since reports have none."""

    def get_urls(self) -> list[URLPattern]:
        return [
            path("", self._for_viewers(self.list_page), name="analytics_report_changelist"),
            path("<slug:name>/", self._for_viewers(self.report_page), name="analytics_report"),
            path("<slug:name>/result/", self._for_viewers(self.result_part), name="analytics_report_result"),
            path("<slug:name>/cancel/", self._for_viewers(self.cancel_run), name="analytics_report_cancel"),
            path("<slug:name>/explain/", self._for_viewers(self.explain_page), name="analytics_report_explain"),
            path("<slug:name>.<slug:extension>", self._for_viewers(self.download), name="analytics_report_download"),
        ]

    def _for_viewers(self, view: View) -> View:
        """`view` for staff who may view reports, and nobody else."""

        def checked_view(request: HttpRequest, **arguments: str) -> HttpResponseBase:
            if not self.has_view_permission(request):
                raise PermissionDenied
            return view(request, **arguments)

        return self.admin_site.admin_view(checked_view)

    # Pages

    def list_page(self, request: HttpRequest) -> HttpResponse:
        context = {
            "topics": reports_by_topic(load_reports()),
            "invalid_reports": invalid_reports(),
            "may_view_runs": request.user.has_perm("analytics.view_reportrun"),
        }
        return self._answer(request, "list", "Reports", context)

    def report_page(self, request: HttpRequest, name: str) -> HttpResponse:
        form = ReportForm(_find_or_404(name), request.GET)
        if "run" not in request.GET or not form.is_valid():
            return self._report_answer(request, form)
        if request.GET["run"] == WHOLE and request.method == "GET":
            return self._report_answer(request, form, **_outcome(request, form))
        token = str(uuid.uuid4())
        context: dict[str, Any] = {
            "token": token,
            "result_address": result_address(request.GET, run=token),
            "whole_address": result_address(request.GET, run=WHOLE),
        }
        return self._report_answer(request, form, **context)

    @method_decorator(require_GET)  # HEAD would run the report for nothing
    def result_part(self, request: HttpRequest, name: str) -> HttpResponse:
        """What the page fetches: the result, or why there is none, as a part of a page."""
        form = ReportForm(_find_or_404(name), request.GET)
        token = _token(request.GET.get("run", ""))
        context: dict[str, Any] = {"form": form}
        status = HTTPStatus.OK
        if token is None or ReportRun.objects.filter(token=token).exists():
            context |= BEGUN_ALREADY
            status = HTTPStatus.CONFLICT
        elif form.is_valid():
            try:
                context |= _outcome(request, form, token)
            except IntegrityError:  # begun by somebody else at the same moment
                context |= BEGUN_ALREADY
                status = HTTPStatus.CONFLICT
        else:
            status = HTTPStatus.BAD_REQUEST
        headers = {"Report-Result": "1"}  # tells it from the log-in page, say
        template = "admin/analytics/report/result.html"
        return TemplateResponse(request, template, context, status=status, headers=headers)

    @method_decorator(require_POST)
    def cancel_run(self, request: HttpRequest, name: str) -> HttpResponse:
        """End the run whose token is given as `run`, wherever it runs."""
        run = get_object_or_404(ReportRun, token=_token(request.POST.get("run", "")), report=name)
        if not run.may_be_cancelled_by(request.user):
            raise PermissionDenied
        cancel_run(run.token)
        return HttpResponse(status=HTTPStatus.NO_CONTENT)

    @method_decorator(require_GET)
    def explain_page(self, request: HttpRequest, name: str) -> HttpResponse:
        """PostgreSQL's plan for the report with these parameters."""
        if not request.user.has_perm("analytics.explain_report"):
            raise PermissionDenied
        report = _find_or_404(name)
        form = ReportForm(report, request.GET or RUN)
        if not form.is_valid():
            return self._report_answer(request, form, status=HTTPStatus.BAD_REQUEST)
        try:
            plan = {"plan": explain(report, form.given)}
        except ReportFailed as error:
            plan = _failure(error)
        context = {"form": form, "report": report, "back_address": result_address(request.GET, run="")}
        return self._answer(request, "explain", "Plan", context | plan)

    @method_decorator(require_GET)  # HEAD would run the report for nothing
    def download(self, request: HttpRequest, name: str, extension: str) -> HttpResponseBase:
        if not request.user.has_perm("analytics.export_report"):
            raise PermissionDenied
        if extension not in DOWNLOADS:
            raise Http404(f"There is no format {extension!r}. There are {', '.join(DOWNLOADS)}.")
        output = DOWNLOADS[extension]
        form = ReportForm(_find_or_404(name), request.GET or RUN)
        if not form.is_valid():
            return self._report_answer(request, form, status=HTTPStatus.BAD_REQUEST)
        pieces = _download(request, form, output)
        try:
            next(pieces)
        except (ReportFailed, CannotEncode) as error:
            # This is not the file that was asked for.
            return self._report_answer(request, form, status=HTTPStatus.SERVICE_UNAVAILABLE, **_failure(error))
        file_name = f"{name}_{datetime.now(UTC):%Y-%m-%d}.{extension}"
        headers = {"Content-Disposition": f'attachment; filename="{file_name}"'}
        return StreamingHttpResponse(pieces, content_type=output.media_type, headers=headers)

    # Answers

    def _report_answer(
        self, request: HttpRequest, form: ReportForm, status: int = HTTPStatus.OK, **context: Any
    ) -> HttpResponse:
        context |= {
            "report": form.report,
            "form": form,
            "sql": highlighted_sql(form.report.sql),
            "downloads": DOWNLOADS.values(),
            "sort": request.GET.get("sort", ""),
            "may_export": request.user.has_perm("analytics.export_report"),
            "may_explain": request.user.has_perm("analytics.explain_report"),
        }
        return self._answer(request, "report", form.report.title, context, status)

    def _answer(
        self, request: HttpRequest, template: str, title: str, context: dict[str, Any], status: int = HTTPStatus.OK
    ) -> HttpResponse:
        shown = {"title": title, "opts": self.opts, "crumbs": list(_crumbs(context))}
        context = self.admin_site.each_context(request) | shown | context
        return TemplateResponse(request, f"admin/analytics/report/{template}.html", context, status=status)


def _crumbs(context: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """The pages above the one that has this context."""
    if report := context.get("report"):
        yield {"title": "Reports", "address": reverse("admin:analytics_report_changelist")}
        if "back_address" in context:
            address = reverse("admin:analytics_report", args=[report.name])
            yield {"title": report.title, "address": address + context["back_address"]}


def _find_or_404(name: str) -> ReportDefinition:
    try:
        return get_report(name)
    except (UnknownReportError, InvalidReportError) as error:
        raise Http404(str(error)) from None


def _token(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


# Running


def _outcome(request: HttpRequest, form: ReportForm, token: uuid.UUID | None = None) -> dict[str, Any]:
    """Run the report that a valid form asks for; what the templates show of it."""
    try:
        with _run(request, form, "page", form.part, token=token) as run:
            rows = list(run.result.rows)
    except ReportFailed as error:
        return _failure(error)
    return {"result": build_result_page(form, run.result, rows, links_sales=request.user.has_perm("sales.view_sale"))}


def _download(request: HttpRequest, form: ReportForm, output: Format) -> Iterator[bytes]:
    """The file. First it gives nothing, once there are rows: until then an error can still be a page.

    A later error breaks the connection, so that half a file does not pass for a whole one.
    """
    with _run(request, form, output.name, RowRange(form.part.sort, form.part.descending)) as run:
        run.bytes = 0
        pieces = output.encode(run.result, safe_cells=True, title=form.report.title)
        begun = []
        for piece in pieces:  # the first may be a header
            begun.append(piece)
            if run.result.row_count:
                break
        yield b""
        for piece in chain(begun, pieces):
            run.bytes += len(piece)
            yield piece


def _run(
    request: HttpRequest, form: ReportForm, output: str, part: RowRange = ALL_ROWS, token: uuid.UUID | None = None
) -> AbstractContextManager[Run]:
    return logged_run(
        form.report,
        form.given,
        Caller(Channel.ADMIN, request.user.get_username()),
        format=output,
        row_range=part,
        token=token,
        watcher=cancel_on_disconnect(request),
    )


def _failure(error: Exception) -> dict[str, Any]:
    """What the templates show of an error."""
    return {"failure": FAILURES[type(error)], "error": str(error)}
