"""Middleware that reads unread request bodies, and that shows pages for database errors."""

from contextlib import suppress

from django.conf import settings
from django.contrib.admin.options import IncorrectLookupParameters
from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin

from salesengine.http.error_pages import BAD_REQUEST, TOOK_TOO_LONG, UNAVAILABLE, respond
from salesengine.http.errors import (
    CONNECTION_ERRORS,
    INVALID_VALUE_ERRORS,
    DatabaseUnavailable,
    TookTooLong,
    log_database_unavailable,
)

CHUNK_SIZE = 65_536  # bytes
BODY_INCOMPLETE = "salesengine.body_incomplete"  # key in request.META, set if the rest of the body will never arrive


class UnreadBodyMiddleware(MiddlewareMixin):
    """Read the rest of the body of a rejected request.

    With unread data the server would close the connection, on which the client may already have sent its next request.
    """

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        if response.status_code >= 400 and BODY_INCOMPLETE not in request.META:
            discard_body(request)
        return response


def discard_body(request: HttpRequest) -> None:
    """Read and discard the rest of the body, up to INGEST_MAX_BYTES."""
    content_length = int(request.META.get("CONTENT_LENGTH") or 0)
    stream = request.META["wsgi.input"] if "HTTP_TRANSFER_ENCODING" in request.META else request._stream
    remaining = settings.INGEST_MAX_BYTES if content_length <= settings.INGEST_MAX_BYTES else 0
    with suppress(Exception):  # each WSGI server raises its own exceptions for an incomplete body
        while remaining > 0 and (chunk := stream.read(min(remaining, CHUNK_SIZE))):
            remaining -= len(chunk)


class DatabaseErrorMiddleware(MiddlewareMixin):
    """Show pages in the back office for invalid values, slow queries and an unavailable database."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, (*INVALID_VALUE_ERRORS, IncorrectLookupParameters)):
            return respond(request, BAD_REQUEST, BAD_REQUEST.detail)
        if isinstance(exception, TookTooLong):
            return respond(request, TOOK_TOO_LONG, TOOK_TOO_LONG.detail)
        if isinstance(exception, CONNECTION_ERRORS):
            log_database_unavailable(exception)
            response = respond(request, UNAVAILABLE, UNAVAILABLE.detail)
            response["Retry-After"] = str(DatabaseUnavailable.wait)
            return response
        return None
