"""The page where users turn their second factor on and off."""

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.safestring import mark_safe
from django_otp import login as bind_session
from unfold.widgets import INPUT_CLASSES

from salesengine.accounts import second_factor
from salesengine.accounts.audit_log import record_change

CLASSES = " ".join(INPUT_CLASSES)


class CodeForm(forms.Form):
    """Ask for the first code of a new device."""

    code = forms.CharField(
        label="Code",
        max_length=20,
        help_text="The six digits that the app shows now.",
        widget=forms.TextInput({"autocomplete": "one-time-code", "inputmode": "numeric", "class": CLASSES}),
    )


class ProofForm(forms.Form):
    """Ask for the password or a code again, because an unattended session must not be enough."""

    proof = forms.CharField(
        label="Your password or a code",
        max_length=4096,
        strip=False,
        help_text="Your password, the six digits from your authenticator app, or a recovery code.",
        widget=forms.PasswordInput({"autocomplete": "current-password", "class": CLASSES}),
    )


def second_factor_page(request: HttpRequest) -> HttpResponse:
    if not isinstance(request.user, User):  # admin_view requires a login
        raise PermissionDenied
    return _manage(request, request.user) if second_factor.get_device(request.user) else _turn_on(request, request.user)


def _turn_on(request: HttpRequest, user: User) -> HttpResponse:
    form = CodeForm(request.POST if "confirm" in request.POST else None)
    if form.is_valid():
        if device := second_factor.confirm_device(user, form.cleaned_data["code"]):
            request.session.cycle_key()
            bind_session(request, device)
            record_change(user, user, "Turned the second factor on.")
            return _page(request, is_on=True, codes=second_factor.make_recovery_codes(user))
        form.add_error("code", "This code is wrong. Check the clock of your phone, and wait for the next code.")
    device = second_factor.get_unconfirmed_device(user)
    image = mark_safe(second_factor.qr_code(device))  # noqa: S308  # an SVG path without user text
    return _page(request, form=form, qr_code=image, secret=second_factor.secret_text(device))


def _manage(request: HttpRequest, user: User) -> HttpResponse:
    form = ProofForm(request.POST if {"off", "codes"} & request.POST.keys() else None)
    if form.is_valid():
        if not _is_valid_proof(request, user, form.cleaned_data["proof"]):
            form.add_error("proof", "This is neither your password nor a valid code.")
        elif "codes" in request.POST:
            record_change(user, user, "Made new recovery codes.")
            return _page(request, is_on=True, codes=second_factor.make_recovery_codes(user))
        else:
            second_factor.remove_second_factor(user)
            record_change(user, user, "Turned the second factor off.")
            messages.success(request, "The second factor is off. You log in with your password only.")
            return HttpResponseRedirect(request.path)
    return _page(request, form=form, is_on=True, left=second_factor.count_recovery_codes(user))


def _is_valid_proof(request: HttpRequest, user: User, proof: str) -> bool:
    if second_factor.is_code(proof):
        return second_factor.use_code(user, proof)
    # Like the login page, so that wrong passwords count toward a lockout.
    return authenticate(request, username=user.get_username(), password=proof) == user


def _page(request: HttpRequest, **context: object) -> HttpResponse:
    shared = admin.site.each_context(request) | {"title": "Second factor", "crumbs": []}
    return TemplateResponse(request, "admin/second_factor.html", shared | context)
