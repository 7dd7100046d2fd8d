"""Turn every exception into an error response: problem details as in RFC 9457."""

import logging
from collections.abc import Callable, Mapping, Sequence
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

from salesengine.exact_json import encode_json
from salesengine.http import problem_types as problems
from salesengine.http.problem_types import ProblemType
from salesengine.http.request_ids import current_request_id
from salesengine.http.throttling import count_failed_request

logger = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"
CONNECTION_ERRORS = (OperationalError, InterfaceError, PoolTimeout)
# The request is at fault: for example, its query string has a NUL, the year 10^9 or a thousand parameters.
INVALID_VALUE_ERRORS = (DataError, OverflowError, SuspiciousOperation, BadRequest, MultiPartParserError)


class ProblemException(exceptions.APIException):
    """An exception that becomes a response of its problem type, whose meaning is the default detail."""

    problem: ProblemType

    def __init_subclass__(cls, problem: ProblemType) -> None:
        cls.problem = problem
        cls.status_code = problem.status
        cls.default_detail = problem.meaning


class InvalidInput(ProblemException, problem=problems.INVALID_REQUEST):
    """The request is invalid. Each of `errors` is {"pointer" or "parameter": where, "detail": why}.

    `error_count` is the total number of errors, for when `errors` does not list all of them.
    """

    def __init__(
        self, errors: Sequence[Mapping[str, str | int]], detail: str | None = None, error_count: int | None = None
    ) -> None:
        super().__init__(detail)
        self.errors = errors
        self.error_count = len(errors) if error_count is None else error_count


class InvalidEvents(InvalidInput, problem=problems.INVALID_EVENT):
    """The body is not valid JSON, or some of its events are invalid."""


class EventConflict(InvalidInput, problem=problems.EVENT_CONFLICT):
    """Some events have an EVENT_ID that is already stored with different contents."""


class RequestInProgress(ProblemException, problem=problems.REQUEST_IN_PROGRESS):
    """The first request with this Idempotency-Key is still running, so the client should retry."""

    wait = 1  # seconds, sent as Retry-After


class ContentTooLarge(ProblemException, problem=problems.CONTENT_TOO_LARGE):
    """The request is larger than allowed. `detail` should state the limit."""


class IdempotencyKeyReused(ProblemException, problem=problems.IDEMPOTENCY_KEY_REUSED):
    """This Idempotency-Key was sent before with another request."""


class DatabaseUnavailable(ProblemException, problem=problems.DATABASE_UNAVAILABLE):
    """The database is unavailable and it is unknown whether anything was stored, so the client should retry."""

    wait = 5  # seconds, sent as Retry-After


class TookTooLong(ProblemException, problem=problems.TOOK_TOO_LONG):
    """The query reached its time limit and would again. `detail` should say what to request instead."""


class ReportCheckFailed(ProblemException, problem=problems.REPORT_CHECK_FAILED):
    """The result of a report failed an assertion of the report file, so no part of it is returned."""


class ReportError(ProblemException, problem=problems.REPORT_FAILED):
    """The database rejected or stopped a report, or its result does not fit into the format. `detail` says why."""


class RunCancelled(ProblemException, problem=problems.RUN_CANCELLED):
    """Somebody cancelled the run of a report."""


# For DRF's own exceptions, which have no problem type. The first problem type of a status is the general one.
PROBLEM_BY_STATUS = {problem.status: problem for problem in reversed(problems.PROBLEM_TYPES)}


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
    """Log that the database is unavailable, and drop dead connections from the default pool.

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


# Errors outside DRF: unknown URLs, disallowed hosts, CSRF failures, exceptions in middleware. Clients of the API
# get problems, the back office gets HTML pages.


def _error_view(problem: ProblemType, detail: str, page: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Return the view that Django calls for an error. `page` is Django's view for it, which responds with HTML.

    `detail` may contain the names of keyword arguments in braces.
    """

    def view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.path.startswith("/admin/"):
            return page(request, *args, **kwargs)
        body = encode_json(problem_details(problem, detail.format(**kwargs))) + b"\n"
        return HttpResponse(body, status=problem.status, content_type=PROBLEM_JSON)

    return view


bad_request = _error_view(problems.INVALID_REQUEST, "The request is invalid.", defaults.bad_request)
permission_denied = _error_view(
    problems.NOT_ALLOWED, "You do not have permission for this request.", defaults.permission_denied
)
csrf_failure = _error_view(
    problems.NOT_ALLOWED, "Forms are accepted only from pages of this site. {reason}", csrf.csrf_failure
)
page_not_found = _error_view(
    problems.NOT_FOUND, "This URL does not exist; /docs lists all endpoints.", defaults.page_not_found
)
server_error = _error_view(
    problems.INTERNAL_ERROR, "The service failed because of an internal error; see its log.", defaults.server_error
)
