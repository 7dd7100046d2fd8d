"""The API's doors onto the services."""

from django.http import HttpResponse
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sales.api import openapi, reading
from sales.api.parameters import (
    SalesCursor,
    parse_feedback_query,
    parse_ingest_options,
    parse_sales_query,
    reject_parameters,
    write_cursor,
)
from sales.ingest import service as ingest
from sales.ingest.bodies import read_batch
from sales.ingest.idempotency import parse_key
from sales.totals import feedback
from salesengine.accounts.api_keys import get_sender
from salesengine.accounts.models import Scope
from salesengine.http.request_ids import current_request_id


class IngestView(APIView):
    """Take in sale events: one, a list of them, or one a line."""

    scope = Scope.INGEST

    @openapi.ingest
    def post(self, request: Request) -> HttpResponse:
        options = parse_ingest_options(dict(request.query_params.lists()))
        header = request.headers.get("Idempotency-Key")
        key = None if header is None else parse_key(header)
        batch, body = read_batch(request)
        answer = ingest.ingest_batch(
            batch, body, ingest.Delivery(get_sender(request), current_request_id(), options), key
        )
        response = HttpResponse(answer.body, status=answer.status, content_type="application/json")
        if answer.is_replayed:
            response["Idempotent-Replayed"] = "true"
        return response


class FeedbackView(APIView):
    """The three categories with the most sales, and their revenue."""

    scope = Scope.READ

    @openapi.feedback
    def get(self, request: Request) -> Response:
        query = parse_feedback_query(dict(request.query_params.lists()))
        return Response(feedback.top_categories(query))


class SalesView(APIView):
    """The sales themselves, page by page."""

    scope = Scope.READ

    @openapi.sales
    def get(self, request: Request) -> Response:
        page = reading.find_sales(parse_sales_query(dict(request.query_params.lists())))
        following = page.end and next_address(request, page.end)
        headers = {"Link": f'<{following}>; rel="next"'} if following else None  # RFC 8288
        return Response({"results": page.sales, "next": following}, headers=headers)


class OrderView(APIView):
    """All lines of one order."""

    scope = Scope.READ

    @openapi.order
    def get(self, request: Request, id_order: str) -> Response:
        reject_parameters(dict(request.query_params.lists()))
        lines = reading.order_lines(id_order)
        if not lines:
            raise NotFound("There is no sale of this order.")
        return Response({"id_order": id_order, "results": lines})


def next_address(request: Request, place: SalesCursor) -> str:
    """The whole address of the page after this place: the same question, with a cursor."""
    parameters = request.query_params.copy()
    parameters["cursor"] = write_cursor(place)
    return request.build_absolute_uri(f"?{parameters.urlencode()}")
