"""The API's doors onto the services."""

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sales import feedback, ingest, openapi
from sales.bodies import read_batch
from sales.idempotency import parse_key
from sales.questions import parse_feedback_question, parse_ingest_options
from salesengine.api_keys import sender_of
from salesengine.models import Scope
from salesengine.request_ids import current_request_id


class IngestView(APIView):
    """Take in sale events: one, a list of them, or one a line."""

    scope = Scope.INGEST

    @openapi.ingest
    def post(self, request: Request) -> HttpResponse:
        options = parse_ingest_options(dict(request.query_params.lists()))
        header = request.headers.get("Idempotency-Key")
        key = None if header is None else parse_key(header)
        batch, body = read_batch(request)
        answer = ingest.answer(batch, body, ingest.Request(sender_of(request), current_request_id(), options), key)
        response = HttpResponse(answer.body, status=answer.status, content_type="application/json")
        if answer.is_replayed:
            response["Idempotent-Replayed"] = "true"
        return response


class FeedbackView(APIView):
    """The three categories with the most sales, and their revenue."""

    scope = Scope.READ

    @openapi.feedback
    def get(self, request: Request) -> Response:
        question = parse_feedback_question(dict(request.query_params.lists()))
        return Response(feedback.top_categories(question))
