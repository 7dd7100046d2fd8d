"""Middleware that reads unread request bodies, and that shows pages for database errors."""

import logging
from contextlib import suppress

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.deprecation import MiddlewareMixin

from salesengine.http.errors import (
    INVALID_REQUEST_ERRORS,
    INVALID_VALUE_ERRORS,
    DatabaseUnavailable,
    bad_request,
    is_database_unavailable,
    log_database_unavailable,
)

logger = logging.getLogger(__name__)

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
    """Show pages in the back office for invalid values and an unavailable database."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, INVALID_REQUEST_ERRORS):
            return bad_request(request, exception)
        if is_database_unavailable(exception):
            log_database_unavailable(exception)
            page = render(request, "503.html", status=503)
            page["Retry-After"] = str(DatabaseUnavailable.wait)
            return page
        if isinstance(exception, INVALID_VALUE_ERRORS) and request.method in {"GET", "HEAD"}:
            logger.warning("The query string has an invalid value: %s", exception)
            return bad_request(request, exception)
        return None
