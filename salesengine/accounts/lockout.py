"""The lockout after too many wrong passwords and codes, with django-axes.

django-axes alone checks the lockout before it compares a password, and counts the failure afterwards. So simultaneous
attempts would all pass the check. Here, each attempt counts as a failure from its start, and a success takes it back.

Failures are counted for one username from one address, so that nobody can lock out a user from elsewhere, and for all
usernames from one address. To end a lockout at once, administrators use the list of users, and operators
`manage.py axes_reset_username NAME` or `axes_reset_ip ADDRESS`.
"""

import logging
import math
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.handlers.proxy import AxesProxyHandler
from axes.models import AccessAttempt, AccessFailureLog
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_login_failed
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

logger = logging.getLogger(__name__)

ADDRESS_LOCK = 0x4C4F434B  # class id of this module's advisory locks on addresses in PostgreSQL
IPV6_PREFIX = 64  # bits; a client can usually choose the rest of its IPv6 address


class LockoutHandler(AxesDatabaseHandler):  # type: ignore[misc]  # axes has no types
    """Count attempts before they are compared. AxesStandaloneBackend calls `is_allowed` for each password."""

    def is_allowed(self, request: Any, credentials: dict[str, Any] | None = None) -> bool:
        """Count an attempt as a failure, unless the login is locked. Returns whether it is not locked."""
        self.clean_expired_user_attempts(request, credentials)
        with transaction.atomic():
            _lock_address(request)
            if self.is_locked(request, credentials):
                return False
            client = _client(request, credentials)
            AccessAttempt.objects.get_or_create(**client, defaults={"failures_since_start": 0})
            AccessAttempt.objects.filter(**client).update(
                failures_since_start=F("failures_since_start") + 1, attempt_time=request.axes_attempt_time
            )
        return True

    def is_locked(self, request: Any, credentials: dict[str, Any] | None = None) -> bool:
        return any(_seconds_left(attempts, limit) for attempts, limit in _limits(request, credentials or {}))

    def user_login_failed(
        self, sender: object, credentials: dict[str, Any], request: Any = None, **kwargs: object
    ) -> None:
        """Log a failure, and lock the login if it was one too many. Attempts during a lockout are not logged."""
        request.axes_credentials = credentials  # for lockout_page
        if request.axes_locked_out:
            return
        request.axes_locked_out = self.is_locked(request, credentials)
        AccessFailureLog.objects.create(
            **_client(request, credentials),
            http_accept=request.axes_http_accept,
            path_info=request.axes_path_info,
            locked_out=request.axes_locked_out,
        )
        if request.axes_locked_out:
            logger.warning("Too many failed logins from %s: its logins are locked", request.axes_ip_address)


def take_back(request: Any, username: str | None) -> None:
    """Stop counting an attempt as a failure, because its password or code was right."""
    attempts = AccessAttempt.objects.filter(**_client(request, {"username": username}))
    with transaction.atomic():
        _lock_address(request)
        attempts.update(failures_since_start=F("failures_since_start") - 1)
        attempts.filter(failures_since_start=0).delete()


def check_secret(request: HttpRequest, user: User, is_right: Callable[[], bool]) -> bool:
    """Return whether a password or code that `user` entered is right. Wrong ones count like failed logins."""
    credentials = {"username": user.get_username()}
    is_allowed = AxesProxyHandler.is_allowed(request, credentials)
    if is_allowed and is_right():
        take_back(request, user.get_username())
        return True
    request.axes_locked_out = not is_allowed  # type: ignore[attr-defined]  # AxesMiddleware shows lockout_page
    user_login_failed.send(sender=__name__, credentials=credentials, request=request)
    return False


def lockout_page(request: Any, response: HttpResponse | None, credentials: dict[str, Any]) -> HttpResponse:
    """Return the page that replaces the response. It is the same for a username that does not exist."""
    by_username, *by_address = [_seconds_left(attempts, limit) for attempts, limit in _limits(request, credentials)]
    minutes = max(1, math.ceil(max(by_username, *by_address, 0) / 60))
    context = admin.site.each_context(request) | {"title": "Login locked", "minutes": minutes}
    context |= {"failures": settings.AXES_FAILURE_LIMIT, "is_address_locked": any(by_address)}
    page = render(request, "admin/locked_out.html", context, status=429)
    page["Retry-After"] = str(minutes * 60)
    page["Cache-Control"] = "no-store"
    return page


def _client(request: Any, credentials: dict[str, Any] | None) -> dict[str, Any]:
    """Return the columns that identify the row of AccessAttempt in which this client's failures are counted."""
    username = (credentials or {}).get("username")
    return {"username": username, "ip_address": request.axes_ip_address, "user_agent": request.axes_user_agent}


def _limits(request: Any, credentials: dict[str, Any]) -> Iterator[tuple[QuerySet[AccessAttempt], int]]:
    """Yield the recent failures of the username from this address, then those of the address, each with its limit."""
    recent = AccessAttempt.objects.filter(attempt_time__gt=timezone.now() - settings.AXES_COOLOFF_TIME)
    address = request.axes_ip_address
    yield recent.filter(username=credentials.get("username"), ip_address=address), settings.AXES_FAILURE_LIMIT
    if address is not None and settings.LOGIN_FAILURES_PER_ADDRESS:
        network = _network(address)
        yield recent.filter(ip_address__range=(str(network[0]), str(network[-1]))), settings.LOGIN_FAILURES_PER_ADDRESS


def _seconds_left(attempts: QuerySet[AccessAttempt], limit: int) -> float:
    """Return the seconds until fewer failures than `limit` are recent, or 0 if they are fewer now."""
    rows = list(attempts.order_by("attempt_time").values_list("attempt_time", "failures_since_start"))
    excess = sum(failures for _, failures in rows) - limit
    for moment, failures in rows:
        if excess < 0:
            break
        excess -= failures
        if excess < 0:
            return float((moment + settings.AXES_COOLOFF_TIME - timezone.now()).total_seconds())
    return 0.0


def _network(address: str) -> IPv4Network | IPv6Network:
    """Return the addresses that count together with this one."""
    parsed = ip_address(address)
    if parsed.version == 4 or parsed.ipv4_mapped:
        return ip_network(parsed)
    return ip_network((parsed, IPV6_PREFIX), strict=False)


def _lock_address(request: Any) -> None:
    """Let the attempts from one address be counted one after the other, until the transaction ends."""
    address = request.axes_ip_address
    key = str(_network(address)) if address else ""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [ADDRESS_LOCK, key])
