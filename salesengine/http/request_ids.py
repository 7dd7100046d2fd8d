"""Request ids: sent in the header X-Request-ID of every response and in problems, and part of every log line."""

import logging
import re
import secrets
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from django.core.signals import request_finished
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse

VALID_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")  # safe in a header and in a log
NO_REQUEST = "-"

_current: ContextVar[str] = ContextVar("request_id", default=NO_REQUEST)


def current_request_id() -> str:
    """Return the id of the request that this thread is processing, or "-" if there is none."""
    return _current.get()


class RequestIDMiddleware:
    """Keep the valid X-Request-ID of a client or proxy, or create one. This must be the first middleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        sent = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = sent if VALID_ID.fullmatch(sent) else secrets.token_hex(16)
        _current.set(request_id)
        response = self.get_response(request)
        response["X-Request-ID"] = request_id
        return response


@receiver(request_finished)
def clear_request_id(**_: Any) -> None:
    """Forget the id, but only now: Django logs errors and streams responses after the middleware has returned."""
    _current.set(NO_REQUEST)


class RequestIDFilter(logging.Filter):
    """Add the request id to every log record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = _current.get()
        return True


class OmitTracebackFilter(logging.Filter):
    """Drop the traceback from log records whose message says everything."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = None
        return True
