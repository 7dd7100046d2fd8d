"""Middleware that reads unread request bodies, refuses incomplete forms, and shows pages for database errors."""

import logging
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.deprecation import MiddlewareMixin

from salesengine.http.error_pages import BAD_REQUEST, INCOMPLETE, TOOK_TOO_LONG, respond, unavailable
from salesengine.http.errors import (
    INVALID_REQUEST_ERRORS,
    INVALID_VALUE_ERRORS,
    TookTooLong,
    is_database_unavailable,
)

logger = logging.getLogger(__name__)

CHUNK_SIZE = 65_536  # bytes
BODY_INCOMPLETE = "salesengine.body_incomplete"  # key in request.META, set if the rest of the body will never arrive
EVENT_COUNT = "salesengine.event_count"  # key in request.META, for the log
WAITED = "salesengine.waited"  # key in request.META: the seconds that the client asked to wait, which are not slow


class UnreadBodyMiddleware(MiddlewareMixin):
    """Read the rest of the body of a request that was answered without it, or announce that the connection closes.

    The server closes a connection with unread data, on which the client may already have sent its next request.
    """

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        if BODY_INCOMPLETE in request.META or not discard_body(request):
            # Set by salesengine.server.worker.pre_request. Servers ignore the header Connection of an app (PEP 3333).
            announce_close = getattr(request.META["wsgi.input"], "force_close", None)
            if announce_close is not None:
                announce_close()
        return response


def discard_body(request: HttpRequest) -> bool:
    """Read and discard the rest of the body, up to INGEST_MAX_BYTES. Return whether that was all of it."""
    content_length = int(request.META.get("CONTENT_LENGTH") or 0)
    stream = request.META["wsgi.input"] if "HTTP_TRANSFER_ENCODING" in request.META else request._stream
    if content_length > settings.INGEST_MAX_BYTES:
        return False
    remaining = settings.INGEST_MAX_BYTES + 1
    with suppress(Exception):  # each WSGI server raises its own exceptions for an incomplete body
        while remaining > 0:
            chunk = stream.read(min(remaining, CHUNK_SIZE))
            if not chunk:
                return True
            remaining -= len(chunk)
    return False


class IncompleteFormMiddleware(MiddlewareMixin):
    """Refuse a form of the back office that has not arrived completely. The API checks its bodies itself."""

    def process_view(self, request: HttpRequest, *view: Any) -> HttpResponse | None:
        is_cut = getattr(request.META["wsgi.input"], "is_cut", False)  # set in salesengine.server.worker.pre_request
        # The worker also cuts a body that is too large, but then the connection is not the reason.
        is_too_large = int(request.META.get("CONTENT_LENGTH") or 0) > settings.INGEST_MAX_BYTES
        if is_cut and not is_too_large and request.path.startswith(reverse("admin:index")):
            return respond(request, INCOMPLETE, INCOMPLETE.detail)
        return None


class DatabaseErrorMiddleware(MiddlewareMixin):
    """Show pages in the back office for invalid values, slow queries and an unavailable database."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, INVALID_REQUEST_ERRORS):
            return respond(request, BAD_REQUEST, BAD_REQUEST.detail)
        if isinstance(exception, TookTooLong):
            return respond(request, TOOK_TOO_LONG, TOOK_TOO_LONG.detail)
        if is_database_unavailable(exception):
            return unavailable(request, exception)
        if isinstance(exception, INVALID_VALUE_ERRORS) and request.method in {"GET", "HEAD"}:
            logger.warning("The query string has an invalid value: %s", exception)
            return respond(request, BAD_REQUEST, BAD_REQUEST.detail)
        return None
