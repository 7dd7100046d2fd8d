"""The login of staff: a password, a code if the user has a second factor, and a lockout after too many failures.

A session that has not passed the second factor is anonymous, in the back office and in the API. This check costs no
query: the device is read together with the user, and the session names the device whose code it passed.

django-axes counts the failures (AXES_... in the settings). To end a lockout at once, administrators use the list of
users, and operators `manage.py axes_reset_username NAME`.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from axes.attempts import get_cool_off_threshold
from axes.models import AccessAttempt
from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.signals import user_login_failed
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django_otp import DEVICE_ID_SESSION_KEY
from django_otp.forms import OTPAuthenticationFormMixin
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.forms import AuthenticationForm
from unfold.widgets import BASE_INPUT_CLASSES

from salesengine.accounts import second_factor
from salesengine.accounts.audit_log import record_change

INVALID = "invalid_token"
WRONG_CODE = "This code is wrong or has been used. Wait for the next one, then try again."


class StaffBackend(ModelBackend):
    """Read a session's user together with the device of their second factor."""

    def get_user(self, user_id: int) -> User | None:
        device = TOTPDevice.objects.filter(user=OuterRef("pk"), confirmed=True).values("pk")[:1]
        user = User.objects.annotate(second_factor=Subquery(device)).filter(pk=user_id).first()
        return user if user is not None and self.user_can_authenticate(user) else None


class SecondFactorMiddleware:
    """Treat users as anonymous until their session has passed the second factor. Reads the user only when needed.

    django_otp's OTPMiddleware would do the same with one more query on each page.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.user = SimpleLazyObject(partial(_verified_user, request, request.user))  # type: ignore[assignment]
        return self.get_response(request)


def _verified_user(request: HttpRequest, user: User | AnonymousUser) -> User | AnonymousUser:
    device = getattr(user, "second_factor", None)
    if device is None or request.session.get(DEVICE_ID_SESSION_KEY) == TOTPDevice(pk=device).persistent_id:
        return user
    return AnonymousUser()


class LoginForm(OTPAuthenticationFormMixin, AuthenticationForm):  # type: ignore[misc]  # neither has types
    """Ask for a code after the right password, if the user has a second factor."""

    otp_token = forms.CharField(
        label="Code",
        required=False,
        max_length=20,
        help_text="The six digits from your authenticator app, or one of your recovery codes.",
        widget=forms.TextInput({"class": " ".join(BASE_INPUT_CLASSES)}),
    )
    otp_error_messages = OTPAuthenticationFormMixin.otp_error_messages | {
        "token_required": "Enter your code.",
        INVALID: WRONG_CODE,
        "device_required": WRONG_CODE,
        "n_failed_attempts": "Too many wrong codes in a row. Wait a moment, then try again.",
    }
    wants_code = False

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean()
        user = self.get_user()
        device = second_factor.get_device(user)
        if device is None:
            return cleaned
        self.wants_code = True
        try:
            self.clean_otp(user)
        except forms.ValidationError as error:
            if error.code in {INVALID, "device_required"}:
                # A wrong code counts toward a lockout, like a wrong password.
                credentials = {"username": user.get_username()}
                user_login_failed.send(sender=__name__, credentials=credentials, request=self.request)
            raise
        if isinstance(user.otp_device, StaticDevice):
            left = second_factor.count_recovery_codes(user)
            record_change(user, user, f"Logged in with a recovery code. Recovery codes left: {left}.")
        user.otp_device = device  # the session is bound to this device even after a recovery code
        return cleaned

    def _chosen_device(self, user: User) -> TOTPDevice | StaticDevice | None:
        """Choose the device by the form of the code, so that users need not choose it."""
        code = self.cleaned_data.get("otp_token", "")
        self.cleaned_data["otp_token"] = second_factor.normalize_code(code)
        return second_factor.lock_device(user, code)


def lockout_page(request: HttpRequest, response: HttpResponse | None, credentials: dict[str, Any]) -> HttpResponse:
    """Return the page that replaces the login page. It is the same for a username that does not exist."""
    failures = AccessAttempt.objects.filter(
        username=credentials.get("username"),
        ip_address=request.axes_ip_address,  # type: ignore[attr-defined]  # axes sets it
        attempt_time__gt=get_cool_off_threshold(request),
    )
    last = failures.values_list("attempt_time", flat=True).order_by("-attempt_time").first() or timezone.now()
    seconds_left = (last + settings.AXES_COOLOFF_TIME - timezone.now()).total_seconds()
    minutes = max(1, math.ceil(seconds_left / 60))
    context = {"title": "Login locked", "minutes": minutes, "failures": settings.AXES_FAILURE_LIMIT}
    page = render(request, "admin/locked_out.html", admin.site.each_context(request) | context, status=429)
    page["Retry-After"] = str(minutes * 60)
    page["Cache-Control"] = "no-store"
    return page
