"""The one place that turns what went wrong into an answer: problem details as in RFC 9457."""

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
# Such as a NUL or a year 10^9 in a query string, or a thousand parameters: what the request holds is at fault.
INVALID_VALUE_ERRORS = (DataError, OverflowError, SuspiciousOperation, BadRequest, MultiPartParserError)


class InvalidInput(exceptions.APIException):
    """What was sent cannot be taken. `errors` says where and why: {"pointer" or "parameter": ..., "detail": ...}.

    `error_count` is the number of all errors, where `errors` does not list them all.
    """

    problem = problems.INVALID_REQUEST
    status_code = problem.status
    default_detail = "The request is not valid; nothing was stored."

    def __init__(
        self, errors: Sequence[Mapping[str, str | int]], detail: str | None = None, error_count: int | None = None
    ) -> None:
        super().__init__(detail)
        self.errors = errors
        self.error_count = len(errors) if error_count is None else error_count


class InvalidEvents(InvalidInput):
    """The body has no valid sale events, or not only such."""

    problem = problems.INVALID_EVENT


class EventConflict(InvalidInput):
    """Events whose EVENT_ID is stored already, with other contents."""

    problem = problems.EVENT_CONFLICT
    status_code = problem.status
    default_detail = "There are events whose EVENT_ID was sent before with other contents; nothing was stored."


class RequestInProgress(exceptions.APIException):
    """The first request with this Idempotency-Key is still running: the client should ask again."""

    problem = problems.REQUEST_IN_PROGRESS
    status_code = problem.status
    default_detail = "The first request with this Idempotency-Key is still running; ask again soon."
    wait = 1  # seconds, sent as Retry-After


class ContentTooLarge(exceptions.APIException):
    """More was sent than one request may hold; the detail says what the limit is."""

    problem = problems.CONTENT_TOO_LARGE
    status_code = problem.status
    default_detail = "The request is too large."


class IdempotencyKeyReused(exceptions.APIException):
    """This Idempotency-Key came before, with another body."""

    problem = problems.IDEMPOTENCY_KEY_REUSED
    status_code = problem.status
    default_detail = "This Idempotency-Key was sent before with another body; this request stored nothing."


class DatabaseUnavailable(exceptions.APIException):
    """The database does not answer. Nothing is known to be stored: the client should try again."""

    problem = problems.DATABASE_UNAVAILABLE
    status_code = problem.status
    default_detail = "The database could not answer; try again soon."
    wait = 5  # seconds, sent as Retry-After


class TookTooLong(exceptions.APIException):
    """The answer was given up for its cost, and would be again; the detail says what to ask instead."""

    problem = problems.TOOK_TOO_LONG
    status_code = problem.status
    default_detail = "The answer took too long."


class ReportCheckFailed(exceptions.APIException):
    """What a report gives is not what its file says that it must be; nothing of it is given out."""

    problem = problems.REPORT_CHECK_FAILED
    status_code = problem.status
    default_detail = "The result of the report is not as it must be."


class ReportFailed(exceptions.APIException):
    """The database refused or ended a report, or its result does not fit into the format; the detail says why."""

    problem = problems.REPORT_FAILED
    status_code = problem.status
    default_detail = "The report failed."


class RunCancelled(exceptions.APIException):
    """Somebody ended the run of a report."""

    problem = problems.RUN_CANCELLED
    status_code = problem.status
    default_detail = "The run was cancelled."


# DRF's own exceptions have these statuses.
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
    """DRF's exception handler: every failure of an API view becomes a problem+json answer."""
    failure = count_failed_request(as_api_exception(exc), context["request"], context["view"])
    set_rollback()
    problem = getattr(failure, "problem", None) or PROBLEM_BY_STATUS[failure.status_code]
    body = problem_details(problem, str(failure.detail))
    if isinstance(failure, InvalidInput):
        body |= {"error_count": failure.error_count, "errors": failure.errors}
    response = Response(body, status=problem.status, content_type=PROBLEM_JSON)  # DRF adds Allow
    if header := getattr(failure, "auth_header", None):
        response["WWW-Authenticate"] = header
    if wait := getattr(failure, "wait", None):
        response["Retry-After"] = str(int(wait))
    return response


def as_api_exception(exc: Exception) -> exceptions.APIException:
    """What the client is told of an exception; ours and the database's failures are logged."""
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
        return exceptions.ParseError("The request holds a value that cannot be; nothing was stored.")
    logger.exception("An API view failed", exc_info=exc)
    return exceptions.APIException()


def log_database_unavailable(exc: Exception) -> None:
    """Log that the database could not answer, and look which pooled connections are dead.

    After a restart of the database all of them are; without this each would cost one more request its answer.
    """
    logger.error("The database could not answer: %s", exc)
    pool = getattr(connection, "pool", None)
    if pool is not None and not pool.closed:
        pool.check()


def problem_details(problem: ProblemType, detail: str) -> dict[str, Any]:
    """The members that every problem has."""
    return {
        "type": problem.uri,
        "title": problem.title,
        "status": problem.status,
        "detail": detail,
        "request_id": current_request_id(),
    }


# Outside DRF: unknown addresses, refused hosts and forms, failures before a view. The back office gets pages.


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    detail = "The request is malformed."
    return _problem_response(request, problems.INVALID_REQUEST, detail) or defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    detail = "You may not do this."
    return _problem_response(request, problems.NOT_ALLOWED, detail) or defaults.permission_denied(request, exception)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    detail = f"Forms are taken from this site's own pages only. {reason}"
    return _problem_response(request, problems.NOT_ALLOWED, detail) or csrf.csrf_failure(request, reason)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    detail = "There is nothing at this address; /docs lists the addresses there are."
    return _problem_response(request, problems.NOT_FOUND, detail) or defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    detail = "The service failed; the failure is in its log."
    return _problem_response(request, problems.INTERNAL_ERROR, detail) or defaults.server_error(request)


def _problem_response(request: HttpRequest, problem: ProblemType, detail: str) -> HttpResponse | None:
    if request.path.startswith("/admin/"):
        return None
    body = encode_json(problem_details(problem, detail)) + b"\n"
    return HttpResponse(body, status=problem.status, content_type=PROBLEM_JSON)
