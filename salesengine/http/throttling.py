"""Limit the requests of each sender to RATE_LIMIT, counted in the cache in fixed time windows.

DRF's SimpleRateThrottle reads a counter and writes it back, so it would count simultaneous requests as one.
"""

import hashlib
import logging
import math
from contextlib import suppress
from time import monotonic, time
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.cache import cache
from rest_framework.exceptions import APIException, NotAcceptable, PermissionDenied, Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from salesengine.accounts.api_keys import get_sender
from salesengine.http.client_address import client_address

if TYPE_CHECKING:  # a circular import at run time: rest_framework.views imports this module
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)

ANONYMOUS = "anonymous"
CACHE_RETRY_DELAY = 10  # seconds that a process skips a failed cache, so that not every request waits for it

_skip_cache_until = 0.0


class SenderRateThrottle(BaseThrottle):
    """Count every request that passes DRF's authentication and permission checks."""

    retry_after = 0  # seconds

    def allow_request(self, request: Request, view: "APIView") -> bool:
        self.retry_after = count_request(get_sender(request), request, view)
        return not self.retry_after

    def wait(self) -> float:
        return self.retry_after


def count_failed_request(failure: APIException, request: Request, view: "APIView") -> APIException:
    """Count a request that failed before DRF called SenderRateThrottle, for example because it has no key.

    Returns the exception to respond with: Throttled if the sender is over its limit, otherwise `failure`.
    """
    if "RateLimit-Policy" in view.headers:  # already counted
        return failure
    sender = ANONYMOUS
    if isinstance(failure, PermissionDenied | NotAcceptable):  # others may come from the authentication itself
        with suppress(Exception):  # DRF authenticates after it has looked at the header Accept, and that may fail too
            sender = get_sender(request)
    retry_after = count_request(sender, request, view)
    return Throttled(retry_after) if retry_after else failure


def count_request(sender: str, request: Request, view: "APIView") -> int:
    """Count one request of `sender`. Return the seconds to wait if it exceeds the limit, otherwise 0.

    Every response carries the limit and what remains of it (draft-ietf-httpapi-ratelimit-headers-10).
    """
    if settings.RATE_LIMIT is None:
        return 0
    limit, seconds = settings.RATE_LIMIT
    view.headers["RateLimit-Policy"] = f'"default";q={limit};w={seconds}'
    if sender == ANONYMOUS:
        sender = f"{ANONYMOUS} {client_address(request._request)}"
    window, elapsed = divmod(time(), seconds)
    count = _count(f"{seconds}:{window:.0f}:{hashlib.sha256(sender.encode()).hexdigest()}", lifetime=2 * seconds)
    if count is None:
        return 0
    reset = math.ceil(seconds - elapsed)
    view.headers["RateLimit"] = f'"default";r={max(limit - count, 0)};t={reset}'
    return reset if count > limit else 0


def _count(key: str, lifetime: int) -> int | None:
    """Increment the counter at `key` and return it, or return None while the cache is unavailable."""
    global _skip_cache_until
    if monotonic() < _skip_cache_until:
        return None
    try:
        return _increment(key, lifetime)
    except Exception as error:  # each cache backend raises its own exceptions
        _skip_cache_until = monotonic() + CACHE_RETRY_DELAY
        logger.warning(
            "The cache is unavailable, so the rate limit is off for %s seconds: %s", CACHE_RETRY_DELAY, error
        )
        return None


def _increment(key: str, lifetime: int) -> int:
    try:
        return cache.incr(key)
    except ValueError:  # no counter yet
        return 1 if cache.add(key, 1, lifetime) else cache.incr(key)
