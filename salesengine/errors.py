"""The one place that turns what went wrong into an answer: problem details as in RFC 9457."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import DataError, InterfaceError, OperationalError, connection
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.views import defaults
from psycopg_pool import PoolTimeout
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import set_rollback

from salesengine.renderers import encode_json

logger = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"
DATABASE_AWAY = (OperationalError, InterfaceError, PoolTimeout)
# Such as a NUL or a year 10^9 in a query string, or a thousand parameters: what the request holds is at fault.
IMPOSSIBLE = (DataError, OverflowError, SuspiciousOperation)


class InvalidInput(exceptions.APIException):
    """What was sent cannot be taken. `errors` says where and why: {"pointer" or "parameter": ..., "detail": ...}.

    `error_count` is the number of all errors, where `errors` does not list them all.
    """

    status_code = status.HTTP_400_BAD_REQUEST
    default_detail = "The request is not valid; nothing was stored."

    def __init__(
        self, errors: Sequence[Mapping[str, str]], detail: str | None = None, error_count: int | None = None
    ) -> None:
        super().__init__(detail)
        self.errors = errors
        self.error_count = len(errors) if error_count is None else error_count


class ContentTooLarge(exceptions.APIException):
    """More was sent than one request may hold; the detail says what the limit is."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The request is too large."


class DatabaseAway(exceptions.APIException):
    """The database does not answer. Nothing is known to be stored: the client should try again."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = "The database could not answer; try again soon."
    wait = 5  # seconds, sent as Retry-After


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> HttpResponseBase:
    """DRF's exception handler: every failure of an API view becomes a problem+json answer."""
    if isinstance(exc, Http404):
        exc = exceptions.NotFound()
    elif isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied()
    elif isinstance(exc, DATABASE_AWAY):
        note_database_away(exc)
        exc = DatabaseAway()
    elif isinstance(exc, IMPOSSIBLE):
        exc = exceptions.ParseError("The request holds a value that cannot be; nothing was stored.")
    elif not isinstance(exc, exceptions.APIException):
        logger.exception("An API view failed", exc_info=exc)
        exc = exceptions.APIException()
    set_rollback()
    response = Response(problem(exc.status_code, str(exc.detail)), status=exc.status_code, content_type=PROBLEM_JSON)
    if isinstance(exc, InvalidInput):
        response.data |= {"error_count": exc.error_count, "errors": exc.errors}
    if header := getattr(exc, "auth_header", None):
        response["WWW-Authenticate"] = header
    if wait := getattr(exc, "wait", None):
        response["Retry-After"] = str(int(wait))
    return response


def note_database_away(exc: Exception) -> None:
    """Log that the database could not answer, and look which pooled connections are dead.

    After a restart of the database all of them are; without this each would cost one more request its answer.
    """
    logger.error("The database could not answer: %s", exc)
    pool = getattr(connection, "pool", None)
    if pool is not None and not pool.closed:
        pool.check()


def problem(status_code: int, detail: str) -> dict[str, Any]:
    """The members that every problem has. Its type is the status itself (RFC 9457, 4.2.1: about:blank)."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status_code).phrase,
        "status": status_code,
        "detail": detail,
    }


# Outside DRF: unknown addresses, refused hosts, failures before a view is reached. The back office gets pages.


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 400, "The request is malformed.") or defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 403, "You may not do this.") or defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    detail = "There is nothing at this address; /docs lists the addresses there are."
    return _answer(request, 404, detail) or defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    detail = "The service failed; the failure is in its log."
    return _answer(request, 500, detail) or defaults.server_error(request)


def _answer(request: HttpRequest, status_code: int, detail: str) -> HttpResponse | None:
    if request.path.startswith("/admin/"):
        return None
    return HttpResponse(
        encode_json(problem(status_code, detail)) + b"\n", status=status_code, content_type=PROBLEM_JSON
    )
