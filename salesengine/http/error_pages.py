"""Respond to errors outside of DRF's views: with a page to people, and with a problem to programs.

These errors are unknown URLs, disallowed hosts, CSRF failures, and exceptions of pages and of middleware.
"""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from django.contrib import admin
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from salesengine.exact_json import encode_json
from salesengine.http import problem_types as problems
from salesengine.http.errors import (
    CONNECTION_ERRORS,
    PROBLEM_JSON,
    DatabaseUnavailable,
    is_database_unavailable,
    log_database_unavailable,
    problem_details,
)
from salesengine.http.problem_types import ProblemType
from salesengine.http.request_ids import current_request_id
from salesengine.http.security_headers import ADMIN_POLICY, PLAIN_POLICY

JSON_TYPES = (PROBLEM_JSON, "application/json")
HTML = "text/html"


class ErrorText(NamedTuple):
    """An error in words for people. `detail` is for programs; in braces it has the names of Django's arguments."""

    problem: ProblemType
    title: str
    text: str
    detail: str


BAD_REQUEST = ErrorText(
    problems.INVALID_REQUEST,
    "Invalid request",
    "The URL or the form has a value that is not valid here, such as a filter that the list does not have. Nothing was"
    " saved. Go back, correct the value and try again.",
    "The request is invalid.",
)
HOST_REFUSED = "The service does not answer under this host name; see ALLOWED_HOSTS."
INCOMPLETE = ErrorText(
    problems.INVALID_REQUEST,
    "The form did not arrive completely",
    "The connection is slow, or the service is busy. Nothing was saved. Go back and try again.",
    "The body ended early. Nothing was saved.",
)
PERMISSION_DENIED = ErrorText(
    problems.NOT_ALLOWED,
    "Access denied",
    "You do not have permission for this page or action. If you need it, ask an administrator.",
    "You do not have permission for this request.",
)
CSRF_FAILURE = ErrorText(
    problems.NOT_ALLOWED,
    "This form is out of date",
    "You logged in again after you opened the form, or your browser blocks cookies. Nothing was saved. Go back, reload"
    " the page and try again.",
    "Forms are accepted only from pages of this site. {reason}",
)
NOT_FOUND = ErrorText(
    problems.NOT_FOUND,
    "Page not found",
    "There is no page at this URL. It may be mistyped, or what it showed was deleted.",
    "This URL does not exist; /docs lists all endpoints.",
)
SERVER_ERROR = ErrorText(
    problems.INTERNAL_ERROR,
    "Something went wrong",
    "The service failed because of an internal error. Try again. If it happens again, send the request id below to an"
    " administrator, who can find the error in the log with it.",
    "The service failed because of an internal error; see its log.",
)
UNAVAILABLE = ErrorText(
    problems.DATABASE_UNAVAILABLE,
    "Temporarily unavailable",
    "The database is unavailable at the moment. What you saved before is not lost. Please try again soon.",
    problems.DATABASE_UNAVAILABLE.meaning,
)
TOOK_TOO_LONG = ErrorText(
    problems.TOOK_TOO_LONG,
    "This page takes too long",
    "The database stopped the query at its time limit. Try again when there is less load, or choose a shorter period or"
    " more filters.",
    problems.TOOK_TOO_LONG.meaning,
)
WITHOUT_DATABASE = (SERVER_ERROR, UNAVAILABLE)  # their pages must not read from the database


def respond(request: HttpRequest, error: ErrorText, detail: str) -> HttpResponse:
    """Return a page or a problem, whichever the client prefers. Without a preference, the back office has pages."""
    types = (HTML, *JSON_TYPES) if request.path.startswith("/admin/") else (*JSON_TYPES, HTML)
    if (request.get_preferred_type(types) or types[0]) == HTML:
        response = _page(request, error)
    else:
        body = encode_json(problem_details(error.problem, detail)) + b"\n"
        response = HttpResponse(body, status=error.problem.status, content_type=PROBLEM_JSON)
    response["Vary"] = "Accept, Cookie"
    response.problem = error.problem  # type: ignore[attr-defined]  # for salesengine.operations.requests
    return response


def _page(request: HttpRequest, error: ErrorText) -> HttpResponse:
    """Return a page in the frame of the back office, or a plain page for others than staff."""
    context = {"title": error.title, "error": error, "request_id": current_request_id()}
    status = error.problem.status
    try:
        if error not in WITHOUT_DATABASE and hasattr(request, "user") and admin.site.has_permission(request):
            context |= admin.site.each_context(request) | {"title": error.title}
            page = render(request, "admin/error.html", context, status=status)
            page["Content-Security-Policy"] = ADMIN_POLICY
            return page
    except CONNECTION_ERRORS:
        pass
    page = render(request, "error.html", context, status=status)
    page["Content-Security-Policy"] = PLAIN_POLICY
    return page


def _error_view(error: ErrorText) -> Callable[..., HttpResponse]:
    """Return the view that Django calls for an error."""

    def view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return respond(request, error, error.detail.format(**kwargs))

    return view


permission_denied = _error_view(PERMISSION_DENIED)
csrf_failure = _error_view(CSRF_FAILURE)
page_not_found = _error_view(NOT_FOUND)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Respond to what Django refuses before a view runs."""
    return respond(request, BAD_REQUEST, HOST_REFUSED if isinstance(exception, DisallowedHost) else BAD_REQUEST.detail)


def server_error(request: HttpRequest) -> HttpResponse:
    """Respond to an exception that no view has handled. It may be one of middleware, which saves the session."""
    error = sys.exception()
    if error is not None and is_database_unavailable(error):
        return unavailable(request, error)
    return respond(request, SERVER_ERROR, SERVER_ERROR.detail)


def unavailable(request: HttpRequest, error: BaseException) -> HttpResponse:
    """Log an error of an unavailable database, and respond to it."""
    log_database_unavailable(error)
    response = respond(request, UNAVAILABLE, UNAVAILABLE.detail)
    response["Retry-After"] = str(DatabaseUnavailable.wait)
    return response
