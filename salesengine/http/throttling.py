"""How often each sender may call the API: RATE_LIMIT, counted in the cache in fixed windows of time.

DRF's own SimpleRateThrottle reads, adds and writes back, so that callers at once are counted as one.
"""

import hashlib
import logging
import math
from time import monotonic, time
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.cache import cache
from rest_framework.exceptions import APIException, PermissionDenied, Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from salesengine.accounts.api_keys import get_sender
from salesengine.http.client_address import client_address

if TYPE_CHECKING:  # at run time rest_framework.views imports this module
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)

ANONYMOUS = "anonymous"
PAUSE = 10  # seconds that a process does without a cache that failed, so that not every request waits for it

_away_until = 0.0


class PerSender(BaseThrottle):
    """Counts each request that DRF lets in."""

    pause = 0

    def allow_request(self, request: Request, view: "APIView") -> bool:
        self.pause = spend(get_sender(request), request, view)
        return not self.pause

    def wait(self) -> float:
        return self.pause


def count_refused(failure: APIException, request: Request, view: "APIView") -> APIException:
    """Count a request that failed before DRF asked PerSender, such as for want of a key; how it fails in the end."""
    if "RateLimit-Policy" in view.headers:  # counted already
        return failure
    # Only who is known can be denied something. For the others get_sender would try to find out once more, and fail.
    sender = get_sender(request) if isinstance(failure, PermissionDenied) else ANONYMOUS
    pause = spend(sender, request, view)
    return Throttled(pause) if pause else failure


def spend(sender: str, request: Request, view: "APIView") -> int:
    """Count one request of the sender's; the seconds to wait if it is one too many, otherwise 0.

    The answer, whatever it will be, tells what is left: draft-ietf-httpapi-ratelimit-headers-10.
    """
    if settings.RATE_LIMIT is None:
        return 0
    limit, seconds = settings.RATE_LIMIT
    view.headers["RateLimit-Policy"] = f'"default";q={limit};w={seconds}'
    if sender == ANONYMOUS:
        sender = f"{ANONYMOUS} {client_address(request._request)}"
    window, elapsed = divmod(time(), seconds)
    number = _count(f"{seconds}:{window:.0f}:{hashlib.sha256(sender.encode()).hexdigest()}", lifetime=2 * seconds)
    if number is None:
        return 0
    reset = math.ceil(seconds - elapsed)
    view.headers["RateLimit"] = f'"default";r={max(limit - number, 0)};t={reset}'
    return reset if number > limit else 0


def _count(key: str, lifetime: int) -> int | None:
    """Count one more under this key; the number so far, or None while the cache is away."""
    global _away_until
    if monotonic() < _away_until:
        return None
    try:
        return _increment(key, lifetime)
    except Exception as error:  # each kind of cache has its own
        _away_until = monotonic() + PAUSE
        logger.warning("The cache does not answer, so nobody is limited for the next %s seconds: %s", PAUSE, error)
        return None


def _increment(key: str, lifetime: int) -> int:
    try:
        return cache.incr(key)
    except ValueError:  # not there yet
        return 1 if cache.add(key, 1, lifetime) else cache.incr(key)
