"""The login of staff: a password, then a code if the user has a second factor.

Between the two, the session is anonymous and names the user whose password was right, for a few minutes. A session that
has not passed the second factor is anonymous, in the back office and in the API. This check costs no query: the device
is read together with the user, and the session names the device whose code it passed.

SECOND_FACTOR_REQUIRED demands a second factor of all staff or of groups. Those who lack one are anonymous everywhere
except on the page that turns it on.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Exists, OuterRef, Subquery, Value
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.utils.functional import SimpleLazyObject
from django_otp import DEVICE_ID_SESSION_KEY
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.forms import AdminOwnPasswordChangeForm, AuthenticationForm
from unfold.widgets import BASE_INPUT_CLASSES

from salesengine.accounts import second_factor
from salesengine.accounts.audit_log import record_change
from salesengine.accounts.lockout import check_secret, take_back

PENDING = "pending_login"  # the session's key for the user whose password was right
PENDING_SECONDS = 5 * 60
USERNAME_LENGTH = User._meta.get_field("username").max_length or 0
ALL_STAFF = "all"  # in SECOND_FACTOR_REQUIRED, among the names of groups


class StaffBackend(ModelBackend):
    """Read a session's user together with the device of their second factor, and whether they must have one."""

    def authenticate(
        self, request: Any, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> Any:
        user = super().authenticate(request, username, password, **kwargs)
        if user is not None:
            take_back(request, username)  # AxesStandaloneBackend has counted the attempt
        return user

    def get_user(self, user_id: int) -> User | None:
        device = TOTPDevice.objects.filter(user=OuterRef("pk"), confirmed=True).values("pk")[:1]
        groups = User.groups.through.objects.filter(
            user=OuterRef("pk"), group__name__in=settings.SECOND_FACTOR_REQUIRED
        )
        must_have = Value(True) if ALL_STAFF in settings.SECOND_FACTOR_REQUIRED else Exists(groups)
        users = User.objects.annotate(second_factor=Subquery(device), must_have_second_factor=must_have)
        user = users.filter(pk=user_id).first()
        return user if user is not None and self.user_can_authenticate(user) else None


class LacksSecondFactor(AnonymousUser):
    """A user who has logged in, but must turn the second factor on before anything else."""


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
    if device is not None:
        has_passed = request.session.get(DEVICE_ID_SESSION_KEY) == TOTPDevice(pk=device).persistent_id
        return user if has_passed else AnonymousUser()
    if not getattr(user, "must_have_second_factor", False):
        return user
    return user if request.path in {reverse("admin:second_factor"), reverse("admin:logout")} else LacksSecondFactor()


def login_form(request: HttpRequest, **options: Any) -> forms.Form:
    """Return the form of the login page for this request: the second step if it sends a code, or else the first."""
    if "otp_token" not in request.POST:
        return PasswordForm(request, **options)
    user = get_pending_user(request)
    if user is not None:
        return CodeForm(request, user, **options)
    messages.error(request, "You took too long, or your password was changed. Log in again.")
    return PasswordForm(request)


class PasswordForm(AuthenticationForm):  # type: ignore[misc]  # unfold has no types
    """The first step of the login. It never logs in a user who has a second factor."""

    second_step: "CodeForm | None" = None

    def clean(self) -> dict[str, Any]:
        username: str = self.cleaned_data.get("username", "")
        if len(username) > USERNAME_LENGTH:  # axes cannot store it
            raise self.get_invalid_login_error()
        cleaned: dict[str, Any] = super().clean()
        user = self.get_user()
        if user is not None and second_factor.get_device(user):
            set_pending_user(self.request, user)
            self.second_step = CodeForm(self.request, user)
            raise forms.ValidationError("")  # keeps LoginView from logging the user in; the second step is shown
        return cleaned


class CodeForm(forms.Form):
    """The second step of the login."""

    otp_token = forms.CharField(
        label="Code",
        max_length=20,
        error_messages={"required": "Enter your code."},
        help_text="The six digits from your authenticator app, or one of your recovery codes.",
        widget=forms.TextInput({"class": " ".join(BASE_INPUT_CLASSES)}),
    )

    def __init__(self, request: HttpRequest, user: User, **options: Any) -> None:
        super().__init__(**options)
        self.request, self.user, self.second_step = request, user, self

    def clean_otp_token(self) -> str:
        code: str = self.cleaned_data["otp_token"]
        if second_factor.is_paused(self.user, code):
            raise forms.ValidationError("Too many wrong codes in a row. Wait a moment, then try again.")
        if not check_secret(self.request, self.user, partial(second_factor.use_code, self.user, code)):
            raise forms.ValidationError("This code is wrong or has been used. Wait for the next one, then try again.")
        return code

    def get_user(self) -> User:
        """Return the user with what their new session needs. LoginView calls this once, for a valid form."""
        user = self.user
        if second_factor.is_recovery_code(self.cleaned_data["otp_token"]):
            left = second_factor.count_recovery_codes(user)
            record_change(user, user, f"Logged in with a recovery code. Recovery codes left: {left}.")
        del self.request.session[PENDING]
        self.request.session.cycle_key()
        user.backend = f"{StaffBackend.__module__}.{StaffBackend.__qualname__}"
        # The session is bound to this device even after a recovery code.
        user.otp_device = second_factor.get_device(user)  # type: ignore[attr-defined]
        return user


class OwnPasswordChangeForm(AdminOwnPasswordChangeForm):  # type: ignore[misc]  # unfold has no types
    """Let users change their own password. Wrong old passwords count like failed logins."""

    def __init__(self, request: HttpRequest, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.request = request

    def clean_old_password(self) -> str:
        old: str = self.cleaned_data["old_password"]
        if not check_secret(self.request, self.user, partial(self.user.check_password, old)):
            raise forms.ValidationError("This is not your password.")
        return old


def set_pending_user(request: HttpRequest, user: User) -> None:
    """Remember in the session that the password of `user` was right. A new password ends this."""
    until = time.time() + PENDING_SECONDS
    request.session[PENDING] = {"user": user.pk, "hash": user.get_session_auth_hash(), "until": until}


def get_pending_user(request: HttpRequest) -> User | None:
    """Return the user who may enter a code now. Reads the user again, because it may have changed."""
    pending = request.session.get(PENDING)
    if pending is None or pending["until"] < time.time():
        return None
    user = StaffBackend().get_user(pending["user"])
    if user is None or not user.is_staff or second_factor.get_device(user) is None:
        return None
    return user if constant_time_compare(pending["hash"], user.get_session_auth_hash()) else None
