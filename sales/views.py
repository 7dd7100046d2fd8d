"""The API's doors onto the services."""

from django.conf import settings
from rest_framework import status
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sales import feedback, openapi, services
from sales.schemas import parse_events, parse_feedback_question, stored_sale
from salesengine.errors import ContentTooLarge, InvalidInput


class IngestView(APIView):
    """Take in one sale event, or a list of them: stored whole or not at all."""

    @openapi.ingest
    def post(self, request: Request) -> Response:
        events, many = parse_events(read_json_body(request))
        ids = services.record_sales(events)
        answer = {"accepted": len(ids)} if many else stored_sale(ids[0], events[0])
        return Response(answer, status=status.HTTP_201_CREATED)


class FeedbackView(APIView):
    """The three categories with the most sales, and their revenue."""

    @openapi.feedback
    def get(self, request: Request) -> Response:
        question = parse_feedback_question(dict(request.query_params.lists()))
        return Response(feedback.top_categories(question))


def read_json_body(request: Request) -> bytes:
    """The whole body: JSON by its content type, not encoded, at most INGEST_MAX_BYTES long.

    Raises UnsupportedMediaType, ContentTooLarge, and InvalidInput for a body that breaks off.
    """
    media_type = (request.content_type or "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        detail = f"Send the header Content-Type: application/json; this request had {media_type or 'none'}."
        raise UnsupportedMediaType(media_type, detail)
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding != "identity":
        raise UnsupportedMediaType(encoding, f"Send the body as it is, without Content-Encoding: {encoding}.")
    limit = settings.INGEST_MAX_BYTES
    announced = int(request.META.get("CONTENT_LENGTH") or 0)
    # A chunked body announces no length; Django would take it for empty, but the server knows where it ends.
    chunked = "chunked" in request.headers.get("Transfer-Encoding", "").lower()
    stream = request.META["wsgi.input"] if chunked else request
    try:
        body: bytes = stream.read(limit + 1) if announced <= limit else b""
    except Exception:  # each server has its own for a body that breaks off or is not chunked as it says
        raise InvalidInput([], "The body broke off; nothing was stored.") from None
    if max(announced, len(body)) > limit:
        raise ContentTooLarge(f"A request takes at most {limit:,} bytes; send the events in several requests.")
    if len(body) < announced:
        raise InvalidInput([], f"The body broke off after {len(body):,} of {announced:,} bytes; nothing was stored.")
    return body
