"""How staff log in: a password, then a code where somebody has a second factor (`salesengine.accounts.second_factor`).

A session that owes a code is nobody's, whichever door it comes to: the back office or the API. To know that costs no
query: the second factor is read with the user, and the session says for which device its code was.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from django import forms
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.signals import user_login_failed
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
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


class StaffBackend(ModelBackend):
    """Django's own, which reads a session's user together with their second factor."""

    def get_user(self, user_id: int) -> User | None:
        phone = TOTPDevice.objects.filter(user=OuterRef("pk"), confirmed=True).values("pk")[:1]
        user = User.objects.annotate(second_factor=Subquery(phone)).filter(pk=user_id).first()
        return user if user is not None and self.user_can_authenticate(user) else None


class SecondFactorMiddleware:
    """Lets nobody be somebody whose second factor the session has not seen. Reads nothing until a page asks who it is.

    In place of django_otp's OTPMiddleware, which asks the database once more on each page.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.user = SimpleLazyObject(partial(_verified_user, request, request.user))  # type: ignore[assignment]
        return self.get_response(request)


def _verified_user(request: HttpRequest, user: User | AnonymousUser) -> User | AnonymousUser:
    phone = getattr(user, "second_factor", None)
    if phone is None or request.session.get(DEVICE_ID_SESSION_KEY) == TOTPDevice(pk=phone).persistent_id:
        return user
    return AnonymousUser()


class LogInForm(OTPAuthenticationFormMixin, AuthenticationForm):  # type: ignore[misc]  # neither has types
    """Asks for a code once the password is right, of those who have a second factor."""

    otp_token = forms.CharField(
        label="Code",
        required=False,
        max_length=20,
        help_text="The six digits that your phone shows, or one of your recovery codes.",
        widget=forms.TextInput(
            {
                "autocomplete": "one-time-code",
                "autocapitalize": "none",
                "spellcheck": "false",
                "class": " ".join(BASE_INPUT_CLASSES),
            }
        ),
    )
    otp_error_messages = OTPAuthenticationFormMixin.otp_error_messages | {
        "token_required": "Now the code, please.",
        INVALID: "This code is wrong, or was used already. Wait for the next one, and try again.",
        "device_required": "This code is wrong, or was used already. Wait for the next one, and try again.",
        "n_failed_attempts": "Too many wrong codes in a row. Wait a moment, then try again.",
    }
    wants_code = False

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean()
        user = self.get_user()
        phone = second_factor.find_phone(user)
        if phone is None:
            return cleaned
        self.wants_code = True
        try:
            self.clean_otp(user)
        except forms.ValidationError as error:
            if error.code in {INVALID, "device_required"}:
                # Counted as a wrong password is (salesengine.accounts.lockouts).
                credentials = {"username": user.get_username()}
                user_login_failed.send(sender=__name__, credentials=credentials, request=self.request)
            raise
        if isinstance(user.otp_device, StaticDevice):
            left = second_factor.recovery_codes_left(user)
            record_change(user, user, f"Logged in with a recovery code, of which {left} are left.")
        user.otp_device = phone  # which the session is bound to, whichever code opened it
        return cleaned

    def _chosen_device(self, user: User) -> TOTPDevice | StaticDevice | None:
        """What was typed says by its form which device it is for: nobody has to choose one."""
        code = self.cleaned_data.get("otp_token", "")
        self.cleaned_data["otp_token"] = second_factor.cleaned_code(code)
        return second_factor.lock_device_for(user, code)
