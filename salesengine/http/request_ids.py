"""The id of a request: in its answer's header X-Request-ID, in the body of a problem, and on every line it logs."""

import logging
import re
import secrets
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from django.core.signals import request_finished
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse

VALID_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")  # safe to repeat in a header and in a log
NO_REQUEST = "-"

_current: ContextVar[str] = ContextVar("request_id", default=NO_REQUEST)


def current_request_id() -> str:
    """The id of the request that this thread is answering, "-" if there is none."""
    return _current.get()


class RequestIDMiddleware:
    """Takes over the client's or proxy's own X-Request-ID, or makes one. It goes first, to be there for all others."""

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
    """Django logs an error answer once the middleware is through, and a streamed one is made then: so not earlier."""
    _current.set(NO_REQUEST)


class RequestIDFilter(logging.Filter):
    """Gives every log record the id."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = _current.get()
        return True


class OmitTracebackFilter(logging.Filter):
    """For log records that say all in one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = None
        return True
