"""GET /reports and GET /reports/{name}."""

from typing import Any

from django.http.response import HttpResponseBase
from django.urls import reverse
from rest_framework.exceptions import NotFound
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics.api import openapi, responses
from analytics.api.parameters import ReportQuery, parse_report_query
from analytics.definitions.reports import (
    InvalidReportError,
    ReportDefinition,
    UnknownReportError,
    get_report,
    load_reports,
)
from analytics.models import Channel
from analytics.running.disconnects import cancel_on_disconnect
from analytics.running.run_log import Caller
from sales.api.parameters import parameters_of, reject_parameters
from salesengine.accounts.api_keys import get_sender, is_allowed, require
from salesengine.accounts.models import Scope
from salesengine.http.errors import ReportError


class ReportsView(APIView):
    """List the reports that the caller may run, with their parameters."""

    scope = Scope.REPORTS

    @openapi.reports
    def get(self, request: Request) -> Response:
        reject_parameters(parameters_of(request))
        reports = [report for report in load_reports() if _may_run(request, report)]
        return Response([_description(report, request) for report in reports])


class OwnFormats(BaseContentNegotiation):
    """Leave Accept to the view, whose formats are not renderers. Errors are JSON."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class ReportView(APIView):
    """Return the rows of a report."""

    scope = Scope.REPORTS
    content_negotiation_class = OwnFormats

    @openapi.report
    def get(self, request: Request, name: str) -> HttpResponseBase:
        caller = Caller(Channel.API, get_sender(request))
        query = _parse_query(request, name)
        if_none_match = request.headers.get("If-None-Match", "")
        return responses.run_report(query, caller, cancel_on_disconnect(request), if_none_match)

    def head(self, request: Request, name: str) -> HttpResponseBase:
        return responses.head(_parse_query(request, name), request.headers.get("If-None-Match", ""))


def _parse_query(request: Request, name: str) -> ReportQuery:
    try:
        report = get_report(name)
    except UnknownReportError as error:
        raise NotFound(str(error)) from None
    except InvalidReportError as error:
        raise ReportError(f"The file of the report {name} is invalid: {error}") from None
    for scope in report.header.requires:
        require(request, scope)
    query = parse_report_query(report, parameters_of(request), request.headers.get("Accept", ""))
    if query.format.name != "json" or query.limit > report.header.rows:
        without = f"Without it, send format=json&limit={report.header.rows} or less."
        require(request, Scope.REPORTS, "analytics.export_report", without)
    return query


def _may_run(request: Request, report: ReportDefinition) -> bool:
    return all(is_allowed(request, scope) for scope in report.header.requires)


def _description(report: ReportDefinition, request: Request) -> dict[str, Any]:
    """Describe a report for GET /reports."""
    return {
        "name": report.name,
        "title": report.title,
        "description": report.description,
        "topic": report.header.topic,
        "address": request.build_absolute_uri(reverse("report", args=[report.name])),
        "timeout": report.timeout,
        "parameters": [
            {
                "name": name,
                "type": parameter.type,
                "default": parameter.default_text or None,
                "required": parameter.required,
                "help": parameter.help,
                "choices": parameter.allowed,
                "minimum": parameter.minimum,
                "maximum": parameter.maximum,
            }
            for name, parameter in report.parameters.items()
        ],
    }
