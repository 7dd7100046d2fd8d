"""Turn every exception into an error response: problem details as in RFC 9457."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.db import DataError, InterfaceError, OperationalError, connection
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.http.multipartparser import MultiPartParserError
from django.views import csrf, defaults
from psycopg_pool import PoolTimeout
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from salesengine.http import problem_types as problems
from salesengine.http.problem_types import ProblemType
from salesengine.http.renderers import encode_json
from salesengine.http.request_ids import current_request_id
from salesengine.http.throttling import count_failed_request

logger = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"
CONNECTION_ERRORS = (OperationalError, InterfaceError, PoolTimeout)
# The request is at fault: for example, its query string has a NUL, the year 10^9 or a thousand parameters.
INVALID_VALUE_ERRORS = (DataError, OverflowError, SuspiciousOperation, BadRequest, MultiPartParserError)


class InvalidInput(exceptions.APIException):
    """The request is invalid. Each of `errors` is {"pointer" or "parameter": where, "detail": why}.

    `error_count` is the total number of errors, for when `errors` does not list all of them.
    """

    problem = problems.INVALID_REQUEST
    status_code = problem.status
    default_detail = "The request is invalid; nothing was stored."

    def __init__(
        self, errors: Sequence[Mapping[str, str | int]], detail: str | None = None, error_count: int | None = None
    ) -> None:
        super().__init__(detail)
        self.errors = errors
        self.error_count = len(errors) if error_count is None else error_count


class InvalidEvents(InvalidInput):
    """The body is not valid JSON, or some of its events are invalid."""

    problem = problems.INVALID_EVENT


class EventConflict(InvalidInput):
    """Some events have an EVENT_ID that is already stored with different contents."""

    problem = problems.EVENT_CONFLICT
    status_code = problem.status
    default_detail = "Some events have an EVENT_ID that is already stored with different contents; nothing was stored."


class RequestInProgress(exceptions.APIException):
    """The first request with this Idempotency-Key is still running, so the client should retry."""

    problem = problems.REQUEST_IN_PROGRESS
    status_code = problem.status
    default_detail = "The first request with this Idempotency-Key is still running; send this request again soon."
    wait = 1  # seconds, sent as Retry-After


class ContentTooLarge(exceptions.APIException):
    """The request is larger than allowed. `detail` should state the limit."""

    problem = problems.CONTENT_TOO_LARGE
    status_code = problem.status
    default_detail = "The request is too large."


class IdempotencyKeyReused(exceptions.APIException):
    """This Idempotency-Key was sent before with a different body."""

    problem = problems.IDEMPOTENCY_KEY_REUSED
    status_code = problem.status
    default_detail = "This Idempotency-Key was sent before with a different body; this request stored nothing."


class DatabaseUnavailable(exceptions.APIException):
    """The database is unavailable and it is unknown whether anything was stored, so the client should retry."""

    problem = problems.DATABASE_UNAVAILABLE
    status_code = problem.status
    default_detail = "The database is unavailable; send the request again soon."
    wait = 5  # seconds, sent as Retry-After


class TookTooLong(exceptions.APIException):
    """The query reached its time limit and would again. `detail` should say what to request instead."""

    problem = problems.TOOK_TOO_LONG
    status_code = problem.status
    default_detail = "The query took too long."


class ReportCheckFailed(exceptions.APIException):
    """The result of a report failed a check of the report file, so no part of it is returned."""

    problem = problems.REPORT_CHECK_FAILED
    status_code = problem.status
    default_detail = "The result of the report failed a check."


class ReportFailed(exceptions.APIException):
    """The database rejected or stopped a report, or its result does not fit into the format. `detail` says why."""

    problem = problems.REPORT_FAILED
    status_code = problem.status
    default_detail = "The report failed."


class RunCancelled(exceptions.APIException):
    """Somebody cancelled the run of a report."""

    problem = problems.RUN_CANCELLED
    status_code = problem.status
    default_detail = "The run was cancelled."


# DRF's own exceptions have no problem type; their status selects it.
PROBLEM_BY_STATUS = {
    problem.status: problem
    for problem in (
        problems.INVALID_REQUEST,
        problems.NOT_AUTHENTICATED,
        problems.NOT_ALLOWED,
        problems.NOT_FOUND,
        problems.METHOD_NOT_ALLOWED,
        problems.NOT_ACCEPTABLE,
        problems.UNSUPPORTED_MEDIA_TYPE,
        problems.RATE_LIMITED,
        problems.INTERNAL_ERROR,
    )
}


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> HttpResponseBase:
    """Return a problem+json response for any exception of an API view. DRF calls this."""
    exception = count_failed_request(as_api_exception(exc), context["request"], context["view"])
    set_rollback()
    problem = getattr(exception, "problem", None) or PROBLEM_BY_STATUS[exception.status_code]
    body = problem_details(problem, str(exception.detail))
    if isinstance(exception, InvalidInput):
        body |= {"error_count": exception.error_count, "errors": exception.errors}
    response = Response(body, status=problem.status, content_type=PROBLEM_JSON)  # DRF adds the header Allow
    if header := getattr(exception, "auth_header", None):
        response["WWW-Authenticate"] = header
    if wait := getattr(exception, "wait", None):
        response["Retry-After"] = str(int(wait))
    return response


def as_api_exception(exc: Exception) -> exceptions.APIException:
    """Return the APIException to show to the client. Log database failures and unexpected exceptions."""
    if isinstance(exc, exceptions.APIException):
        return exc
    if isinstance(exc, Http404):
        return exceptions.NotFound()
    if isinstance(exc, PermissionDenied):
        return exceptions.PermissionDenied()
    if isinstance(exc, CONNECTION_ERRORS):
        log_database_unavailable(exc)
        return DatabaseUnavailable()
    if isinstance(exc, INVALID_VALUE_ERRORS):
        return exceptions.ParseError("The request contains an invalid value; nothing was stored.")
    logger.exception("An API view failed", exc_info=exc)
    return exceptions.APIException()


def log_database_unavailable(exc: Exception) -> None:
    """Log that the database is unavailable, and drop dead connections from the pool.

    After a restart of the database all pooled connections are dead; without this, each would fail one more request.
    """
    logger.error("The database is unavailable: %s", exc)
    pool = getattr(connection, "pool", None)
    if pool is not None and not pool.closed:
        pool.check()


def problem_details(problem: ProblemType, detail: str) -> dict[str, Any]:
    """Return the members that every problem has."""
    return {
        "type": problem.uri,
        "title": problem.title,
        "status": problem.status,
        "detail": detail,
        "request_id": current_request_id(),
    }


# Errors outside DRF: unknown addresses, disallowed hosts, CSRF failures, exceptions in middleware. Clients of the API
# get problems, the back office gets HTML pages.


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    detail = "The request is invalid."
    return _problem_response(request, problems.INVALID_REQUEST, detail) or defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    detail = "You do not have permission for this request."
    return _problem_response(request, problems.NOT_ALLOWED, detail) or defaults.permission_denied(request, exception)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    detail = f"Forms are accepted only from pages of this site. {reason}"
    return _problem_response(request, problems.NOT_ALLOWED, detail) or csrf.csrf_failure(request, reason)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    detail = "This address does not exist; /docs lists all addresses."
    return _problem_response(request, problems.NOT_FOUND, detail) or defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    detail = "The service failed because of an internal error; see its log."
    return _problem_response(request, problems.INTERNAL_ERROR, detail) or defaults.server_error(request)


def _problem_response(request: HttpRequest, problem: ProblemType, detail: str) -> HttpResponse | None:
    if request.path.startswith("/admin/"):
        return None
    body = encode_json(problem_details(problem, detail)) + b"\n"
    return HttpResponse(body, status=problem.status, content_type=PROBLEM_JSON)
