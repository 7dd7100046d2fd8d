"""Turn every exception into an error response: problem details as in RFC 9457."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation, TooManyFieldsSent
from django.db import DataError, Error, InterfaceError, OperationalError, connections
from django.http import Http404, HttpResponseBase
from django.http.multipartparser import MultiPartParserError
from psycopg_pool import PoolTimeout
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from salesengine.database import UnansweredCommit, is_lost
from salesengine.http import problem_types as problems
from salesengine.http.problem_types import ProblemType
from salesengine.http.request_ids import current_request_id
from salesengine.http.throttling import count_failed_request
from salesengine.postgresql.outage import OutageContinues

logger = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"
CONNECTION_ERRORS = (OperationalError, InterfaceError, PoolTimeout)
# SQLSTATEs, or the beginnings of some, after which nothing was stored and the same request may succeed later
# (PostgreSQL manual, "Error Codes"). Without a SQLSTATE the connection was lost.
TEMPORARY_STATES = ("08", "25006", "25P03", "25P04", "40", "53", "55P03", "57", "58")
SEQUENCE_USED_UP = "2200H"
# The connection is dead, or leads to a server that has become a replica.
DEAD_CONNECTION_STATES = ("08", "25006", "25P03", "25P04", "57P")
# Django could not parse the request.
INVALID_REQUEST_ERRORS = (SuspiciousOperation, BadRequest, MultiPartParserError)
# The query string of a page has a value that only the database refuses, such as a NUL or the year 10^9.
INVALID_VALUE_ERRORS = (DataError, OverflowError)


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
    """Some events have the EVENT_ID of another event, which has different contents."""


class SaleNotFound(InvalidInput, problem=problems.SALE_NOT_FOUND):
    """Some corrections name a sale that does not exist, or that the client may not correct."""


class SalesArchived(InvalidInput, problem=problems.SALES_ARCHIVED):
    """The request needs single sales of a month that is archived. `detail` names the month."""


class AlreadyCorrected(InvalidInput, problem=problems.ALREADY_CORRECTED):
    """Some corrections name a sale that is voided, or replace a sale with the same values."""


class RequestInProgress(ProblemException, problem=problems.REQUEST_IN_PROGRESS):
    """The first request with this Idempotency-Key is still running, so the client should retry."""

    wait = 1  # seconds, sent as Retry-After


class PositionPurged(ProblemException, problem=problems.POSITION_PURGED):
    """The ledger no longer has the changes after this position."""


class ContentTooLarge(ProblemException, problem=problems.CONTENT_TOO_LARGE):
    """The request is larger than allowed. `detail` should state the limit."""


class IdempotencyKeyReused(ProblemException, problem=problems.IDEMPOTENCY_KEY_REUSED):
    """This Idempotency-Key was sent before with another request."""


class TooManyRejected(ProblemException, problem=problems.TOO_MANY_REJECTED):
    """The sender has too many rejected events. `detail` should state the limit."""


class ServiceBusy(ProblemException, problem=problems.SERVICE_BUSY):
    """The process is working on too many bytes or reports at the moment, so the client should retry."""

    wait = 2  # seconds, sent as Retry-After


class DatabaseUnavailable(ProblemException, problem=problems.DATABASE_UNAVAILABLE):
    """The database is unavailable and nothing was stored, so the client should retry."""

    wait = 5  # seconds, sent as Retry-After


class OutcomeUnknown(ProblemException, problem=problems.OUTCOME_UNKNOWN):
    """The connection was lost during the commit, or the commit took too long. A retry may store the sales twice."""

    wait = DatabaseUnavailable.wait  # seconds, sent as Retry-After


class TookTooLong(ProblemException, problem=problems.TOOK_TOO_LONG):
    """The query reached its time limit and would again. `detail` should say what to request instead."""


class ReportCheckFailed(ProblemException, problem=problems.REPORT_CHECK_FAILED):
    """The result of a report failed an assertion of the report file. Nothing of the result is returned."""


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
    response.problem = problem  # type: ignore[attr-defined]  # for salesengine.operations.requests
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
    if isinstance(exc, TooManyFieldsSent):
        return exceptions.ParseError(f"A URL may have at most {settings.DATA_UPLOAD_MAX_NUMBER_FIELDS:,} parameters.")
    if isinstance(exc, INVALID_REQUEST_ERRORS):
        return exceptions.ParseError("The request contains an invalid value; nothing was stored.")
    if is_database_unavailable(exc):
        log_database_unavailable(exc)
        return OutcomeUnknown() if isinstance(_database_error(exc), UnansweredCommit) else DatabaseUnavailable()
    logger.exception("An API view failed", exc_info=exc)
    return exceptions.APIException()


def is_database_unavailable(exc: BaseException) -> bool:
    """Return whether an error of Django or psycopg means that the database cannot do its work at the moment."""
    state = _sqlstate(exc)
    if state:
        return state.startswith(TEMPORARY_STATES) or state == SEQUENCE_USED_UP
    return is_lost(_database_error(exc)) or isinstance(exc, CONNECTION_ERRORS)


def log_database_unavailable(exc: BaseException) -> None:
    """Log that the database is unavailable. If the connection is dead, drop all connections of the pools.

    After a restart of the database all pooled connections are dead; without this, each would fail one more request.
    """
    if isinstance(_database_error(exc), OutageContinues):
        return
    state = _sqlstate(exc)
    advice = "; give the sequence a higher MAXVALUE (ALTER SEQUENCE)" if state == SEQUENCE_USED_UP else ""
    logger.error("The database is unavailable: %s%s", str(exc).strip(), advice)
    if state.startswith(DEAD_CONNECTION_STATES) if state else not isinstance(_database_error(exc), PoolTimeout):
        drop_connections()


def drop_connections() -> None:
    """Close the unused connections of the pools now, and the used ones when they are returned.

    They are not tested first, because on a silent network each test would wait.
    """
    for connection in connections.all():
        with suppress(Error):  # of the embedded server, which starts here if it is not running
            pool = getattr(connection, "pool", None)
            if pool is not None and not pool.closed:
                pool.drain()


def _database_error(exc: BaseException) -> BaseException:
    """Return psycopg's error, which Django's error has as its cause."""
    return exc.__cause__ if isinstance(exc, Error) and exc.__cause__ else exc


def _sqlstate(exc: BaseException) -> str:
    """Return the SQLSTATE of an error, or "" if it has none."""
    return getattr(_database_error(exc), "sqlstate", None) or ""


def problem_details(problem: ProblemType, detail: str) -> dict[str, Any]:
    """Return the members that every problem has."""
    return {
        "type": problem.uri,
        "title": problem.title,
        "status": problem.status,
        "detail": detail,
        "request_id": current_request_id(),
    }
