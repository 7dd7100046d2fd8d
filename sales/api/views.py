"""The views of the sales API. Each parses the request, calls one function, and renders the result."""

from typing import Any

from django.http import HttpResponse
from django.utils.decorators import method_decorator
from django.views.decorators.gzip import gzip_page
from rest_framework.exceptions import NotFound
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sales.api import openapi, openapi_corrections, reading
from sales.api.parameters import (
    SalesCursor,
    parameters_of,
    parse_changes_query,
    parse_feedback_query,
    parse_ingest_options,
    parse_sales_query,
    reject_parameters,
    write_cursor,
)
from sales.changes import feed
from sales.corrections.service import correct_batch
from sales.corrections.voiding import Corrector
from sales.ingest.bodies import read_batch
from sales.ingest.idempotency import StoredResponse, parse_key
from sales.ingest.service import ingest_batch
from sales.models import ArchivedMonth
from sales.totals import feedback
from sales.totals.ledger import Origin
from salesengine.accounts.api_keys import get_sender, require
from salesengine.accounts.models import Scope
from salesengine.http.middleware import EVENT_COUNT, WAITED
from salesengine.http.negotiation import ContentNegotiation
from salesengine.http.renderers import ExactJSONRenderer
from salesengine.http.request_ids import current_request_id


class IngestView(APIView):
    """Store sale events: one, a list of them, or one per line."""

    scope = Scope.INGEST

    @openapi.ingest
    def post(self, request: Request) -> HttpResponse:
        options = parse_ingest_options(parameters_of(request))
        key = idempotency_key(request)
        origin = origin_of(request)
        with read_batch(request) as (batch, body):
            request.META[EVENT_COUNT] = len(batch.values)
            result = ingest_batch(batch, body, origin, options, key)
        return once_response(result)


class CorrectionsView(APIView):
    """Void or replace sales. Clients correct their own sales, and staff those of all senders."""

    scope = Scope.CORRECT

    @openapi_corrections.corrections
    def post(self, request: Request) -> HttpResponse:
        reject_parameters(parameters_of(request))
        key = idempotency_key(request)
        origin = origin_of(request)
        is_client = request.auth is not None
        if not is_client:
            require(request, Scope.READ)  # the response has the sales of other senders
        corrector = Corrector(origin.sender, origin, own_only=is_client)
        with read_batch(request) as (batch, body):
            request.META[EVENT_COUNT] = len(batch.values)
            result = correct_batch(batch, body, corrector, key, None if is_client else request.user.pk)
        return once_response(result)


class FeedbackView(APIView):
    """Return the three categories with the most sales, and their revenue."""

    scope = Scope.READ

    @openapi.feedback
    def get(self, request: Request) -> Response:
        query = parse_feedback_query(parameters_of(request))
        return Response(feedback.top_categories(query))


class SalesView(APIView):
    """Return sales, page by page."""

    scope = Scope.READ

    @openapi.sales
    def get(self, request: Request) -> Response:
        page = reading.find_sales(parse_sales_query(parameters_of(request)))
        next_page = page.end and next_url(request, page.end)
        headers = {"Link": f'<{next_page}>; rel="next"'} if next_page else None  # RFC 8288
        return Response({"results": page.sales, "next": next_page}, headers=headers)


class OrderView(APIView):
    """Return all lines of one order."""

    scope = Scope.READ

    @openapi.order
    def get(self, request: Request, id_order: str) -> Response:
        reject_parameters(parameters_of(request))
        lines = reading.order_lines(id_order)
        if not lines:
            known = "No sale outside the archives" if ArchivedMonth.objects.exists() else "No sale"
            raise NotFound(f"{known} has this order id.")
        return Response({"id_order": id_order, "results": lines})


class NDJSONRenderer(ExactJSONRenderer):
    """Let clients ask for newline-delimited JSON. Errors are JSON."""

    media_type = "application/x-ndjson"
    format = "ndjson"


class FormatParameter(ContentNegotiation):
    """Let the query parameter `format` override Accept. The view refuses unknown formats."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        for renderer in renderers:
            if renderer.format == request.query_params.get("format"):
                return renderer, renderer.media_type
        chosen: tuple[BaseRenderer, str] = super().select_renderer(request, renderers, format_suffix)
        return chosen


@method_decorator(gzip_page, name="dispatch")
class ChangesView(APIView):
    """Return the changes after a position: every sale once, and every void."""

    scope = Scope.READ
    renderer_classes = [ExactJSONRenderer, NDJSONRenderer]
    content_negotiation_class = FormatParameter

    @openapi.changes
    def get(self, request: Request) -> HttpResponse:
        query = parse_changes_query(parameters_of(request))
        renderer = request.accepted_renderer
        page = feed.read_page(query, separator="\n" if renderer.format == "ndjson" else ",")
        request.META[WAITED] = page.waited
        has_more = "true" if page.has_more else "false"
        content = f'{{"results":[{page.lines}],"next":{page.next},"has_more":{has_more}}}\n'
        if renderer.format == "ndjson":
            content = f"{page.lines}\n" if page.lines else ""
        headers = {"Changes-Next": str(page.next), "Changes-Has-More": has_more}
        return HttpResponse(content, content_type=renderer.media_type, headers=headers)


def origin_of(request: Request) -> Origin:
    return Origin(get_sender(request), current_request_id())


def idempotency_key(request: Request) -> str | None:
    """Return the Idempotency-Key of a request. Raises InvalidInput."""
    header = request.META.get("HTTP_IDEMPOTENCY_KEY")
    return None if header is None else parse_key(header)


def once_response(result: StoredResponse) -> HttpResponse:
    response = HttpResponse(result.body, status=result.status, content_type="application/json")
    if result.is_replayed:
        response["Idempotent-Replayed"] = "true"
    return response


def next_url(request: Request, cursor: SalesCursor) -> str:
    """Return the absolute URL of the page after the cursor, with the other parameters of this request."""
    parameters = request.query_params.copy()
    parameters["cursor"] = write_cursor(cursor)
    return request.build_absolute_uri(f"?{parameters.urlencode()}")
