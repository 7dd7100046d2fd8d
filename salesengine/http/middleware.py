"""What stands between a page that fails on the database and a bare "server error"."""

from collections.abc import Callable
from contextlib import suppress

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from salesengine.http.errors import (
    CONNECTION_ERRORS,
    INVALID_VALUE_ERRORS,
    DatabaseUnavailable,
    bad_request,
    log_database_unavailable,
)

CHUNK_SIZE = 65_536  # bytes
BODY_INCOMPLETE = "salesengine.body_broke_off"  # in a request's META: there is no more of its body to wait for


class UnreadBodyMiddleware:
    """Reads what an early refusal has left of a request's body.

    The server would cut the connection over it, on which the client may have sent its next request.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if response.status_code >= 400 and BODY_INCOMPLETE not in request.META:
            discard_body(request)
        return response


def discard_body(request: HttpRequest) -> None:
    """Read the rest of the body, up to the largest there may be, and forget it."""
    announced = int(request.META.get("CONTENT_LENGTH") or 0)
    stream = request.META["wsgi.input"] if "HTTP_TRANSFER_ENCODING" in request.META else request._stream
    left = settings.INGEST_MAX_BYTES if announced <= settings.INGEST_MAX_BYTES else 0
    with suppress(Exception):  # each server has its own for a body that breaks off
        while left > 0 and (chunk := stream.read(min(left, CHUNK_SIZE))):
            left -= len(chunk)


class DatabaseErrorMiddleware:
    """The back office's pages for what the API answers with problems: impossible values, and no database."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, INVALID_VALUE_ERRORS):
            return bad_request(request, exception)
        if isinstance(exception, CONNECTION_ERRORS):
            log_database_unavailable(exception)
            page = render(request, "503.html", status=503)
            page["Retry-After"] = str(DatabaseUnavailable.wait)
            return page
        return None
