"""The page for users who failed to log in too often. django-axes counts the failures (AXES_... in the settings).

To unlock a user at once, administrators use the list of users, and operators `manage.py axes_reset_username NAME`.
"""

import math
from typing import Any

from axes.attempts import get_cool_off_threshold
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

MINUTE = 60


def lockout_page(request: HttpRequest, response: HttpResponse | None, credentials: dict[str, Any]) -> HttpResponse:
    """Return the page that replaces the login page. It is the same for a username that does not exist."""
    username = credentials.get("username")
    minutes = minutes_left(request, username)
    context = admin.site.each_context(request) | {
        "title": "Login locked",
        "minutes": minutes,
        "failures": settings.AXES_FAILURE_LIMIT,
    }
    page = render(request, "admin/locked_out.html", context, status=429)
    page["Retry-After"] = str(minutes * MINUTE)
    page["Cache-Control"] = "no-store"
    return page


def minutes_left(request: HttpRequest, username: str | None) -> int:
    """Return the minutes until the lockout ends, rounded up."""
    failures = AccessAttempt.objects.filter(
        username=username,
        ip_address=request.axes_ip_address,  # type: ignore[attr-defined]  # axes sets it
        attempt_time__gt=get_cool_off_threshold(request),
    )
    last = failures.values_list("attempt_time", flat=True).order_by("-attempt_time").first() or timezone.now()
    seconds = (last + settings.AXES_COOLOFF_TIME - timezone.now()).total_seconds()
    return max(1, math.ceil(seconds / MINUTE))
