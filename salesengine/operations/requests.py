"""Measure each request, on its way out of the service."""

import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from salesengine.operations.metrics import REQUEST_SECONDS, REQUESTS_REFUSED

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
OTHER = "other"  # clients choose the rest, and each value would be a series of its own
TOO_MANY_REQUESTS, UNAVAILABLE = 429, 503


class RequestMiddleware:
    """Measure the time of each request, and count the refused ones. Only the request's id comes before this."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        response = self.get_response(request)
        seconds = time.perf_counter() - started
        method = request.method if request.method in METHODS else OTHER
        REQUEST_SECONDS.labels(route_of(request), method, f"{response.status_code // 100}xx").observe(seconds)
        if reason := reason_of_refusal(response):
            REQUESTS_REFUSED.labels(reason).inc()
        return response


def route_of(request: HttpRequest) -> str:
    """Return the name of the URL pattern, never the path. Static files and unknown paths are "other"."""
    return request.resolver_match.view_name if request.resolver_match else OTHER


def reason_of_refusal(response: HttpResponse) -> str:
    """Return the problem type of a response with 429 or 503, and "" for any other response."""
    if response.status_code not in {TOO_MANY_REQUESTS, UNAVAILABLE}:
        return ""
    if problem := getattr(response, "problem", None):
        return str(problem.slug)
    return "login-locked" if response.status_code == TOO_MANY_REQUESTS else ""
