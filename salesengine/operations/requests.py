"""Measure each request on its way out of the service, and log it in one line."""

import logging
import time
from collections.abc import Callable, Iterator

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.http.response import HttpResponse, StreamingHttpResponse

from salesengine.accounts.models import APIKey
from salesengine.http.middleware import EVENT_COUNT, WAITED
from salesengine.http.request_ids import current_request_id
from salesengine.operations.metrics import REQUESTS_REFUSED, request_seconds
from salesengine.operations.request_lines import RequestLine, log_now, logger
from salesengine.postgresql.slow_queries import is_slow

METHODS = {"GET", "POST"}
OTHER = "other"  # clients choose the rest, and each route would have series for each value
TOO_MANY_REQUESTS, UNAVAILABLE = 429, 503
REFUSALS = (TOO_MANY_REQUESTS, UNAVAILABLE)
PROBES = {"healthz", "readyz", "metrics"}  # routes that machines ask all the time

log_line = log_now  # in a worker, DelayedLines.add


class RequestMiddleware:
    """Measure the time of each request, and count the refused ones. Only the request's id comes before this."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        response = self.get_response(request)
        seconds = time.perf_counter() - started
        method = request.method if request.method in METHODS else OTHER
        route = route_of(request)
        request_seconds(route, method, f"{response.status_code // 100}xx").observe(seconds)
        if response.status_code in REFUSALS and (reason := reason_of_refusal(response)):
            REQUESTS_REFUSED.labels(reason).inc()
        log_when_sent(request, response, route, started)
        return response


def route_of(request: HttpRequest) -> str:
    """Return the name of the URL pattern, never the path. Static files and unknown paths are "other"."""
    return request.resolver_match.view_name if request.resolver_match else OTHER


def reason_of_refusal(response: HttpResponseBase) -> str:
    """Return the problem type of a response with 429 or 503, or "" for one without, such as that of /readyz."""
    if problem := getattr(response, "problem", None):
        return str(problem.slug)
    return "login-locked" if response.status_code == TOO_MANY_REQUESTS else ""


def log_when_sent(request: HttpRequest, response: HttpResponseBase, route: str, started: float) -> None:
    """Log the request, as soon as the last byte of a streaming response has been handed to the server."""
    if isinstance(response, HttpResponse):
        log_request(request, response, route, started, len(response.content))
        return
    assert isinstance(response, StreamingHttpResponse)
    size = int(response.get("Content-Length", "0"))

    def counted(pieces: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal size
        for piece in pieces:
            size += len(piece)
            yield piece

    if not size:  # otherwise the server may send a file without reading it here
        response.streaming_content = counted(response.streaming_content)  # type: ignore[arg-type]  # WSGI is not async
    # Django closes a response before it clears the request's id.
    response._resource_closers.append(lambda: log_request(request, response, route, started, size))  # type: ignore[attr-defined]


def log_request(request: HttpRequest, response: HttpResponseBase, route: str, started: float, size: int) -> None:
    """Log a request whose response has a body of `size` bytes: never its query string, its body or its headers."""
    seconds = time.perf_counter() - started
    if route in PROBES or (route == OTHER and request.path.startswith(settings.STATIC_URL)):
        level = logging.DEBUG
    else:
        level = logging.WARNING if is_slow(seconds - request.META.get(WAITED, 0)) else logging.INFO
    if not logger.isEnabledFor(level):
        return
    size = 0 if request.method == "HEAD" else size
    log_line(
        RequestLine(
            created=time.time(),
            request_id=current_request_id(),
            levelno=level,
            method=request.method or "",
            path=request.path,
            status=response.status_code,
            seconds=seconds,
            bytes=size,
            client=client_of(request),
            route=route,
            events=request.META.get(EVENT_COUNT),
        )
    )


def client_of(request: HttpRequest) -> str:
    """Return the client name of the API key, `user:<username>`, or `anonymous`.

    A user that the response did not need is anonymous too, because the log reads nothing from the database.
    """
    key = getattr(request, "auth", None)
    if isinstance(key, APIKey):
        return key.name
    user = getattr(request, "_cached_user", None)
    return f"user:{user.get_username()}" if user and user.is_authenticated else "anonymous"
