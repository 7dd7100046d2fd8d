"""Request ids: sent in the header X-Request-ID of every response and in problems, and part of every log line."""

import logging
import random
import re
from contextvars import ContextVar
from typing import Any

from django.core.signals import request_finished
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin

VALID_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")  # safe in a header and in a log
NO_REQUEST = "-"

_current: ContextVar[str] = ContextVar("request_id", default=NO_REQUEST)


def current_request_id() -> str:
    """Return the id of the request that this thread is processing, or "-" if there is none."""
    return _current.get()


def new_id() -> str:
    """Return a new id. It need not be secret, and without the kernel's random numbers no thread waits for the GIL."""
    return f"{random.getrandbits(128):032x}"


class RequestIDMiddleware(MiddlewareMixin):
    """Keep the valid X-Request-ID of a client or proxy, or create one. This must be the first middleware."""

    def process_request(self, request: HttpRequest) -> None:
        sent = request.META.get("HTTP_X_REQUEST_ID", "")
        _current.set(sent if VALID_ID.fullmatch(sent) else new_id())

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        response["X-Request-ID"] = current_request_id()
        return response


@receiver(request_finished)
def clear_request_id(**_: Any) -> None:
    """Clear the id after the request. The middleware cannot, because Django still logs and streams after it returns."""
    _current.set(NO_REQUEST)


class RequestIDFilter(logging.Filter):
    """Add the request id to every log record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current_request_id()
        return True
