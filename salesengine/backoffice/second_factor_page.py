"""The page where users turn their second factor on and off."""

import time
from functools import partial

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.safestring import mark_safe
from django_otp import login as bind_session
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.widgets import INPUT_CLASSES

from salesengine.accounts import second_factor
from salesengine.accounts.audit_log import record_change
from salesengine.accounts.lockout import check_secret

CLASSES = " ".join(INPUT_CLASSES)
PROPOSAL = "proposed_second_factor"  # the session's key for the secret that is not confirmed yet
PROPOSAL_SECONDS = 15 * 60


class OwnPasswordForm(forms.Form):
    """Ask for the password again, because an unattended session must not be enough."""

    password = forms.CharField(
        label="Your password",
        max_length=4096,
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "current-password", "class": CLASSES}),
    )


class FirstCodeForm(forms.Form):
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
    if second_factor.get_device(request.user):
        return _manage(request, request.user)
    if "confirm" in request.POST:
        return _confirm(request, request.user)
    return _propose(request, request.user)


def _propose(request: HttpRequest, user: User) -> HttpResponse:
    """Show a new secret to a user who enters their password."""
    form = OwnPasswordForm(request.POST if "start" in request.POST else None)
    if form.is_valid():
        if check_secret(request, user, partial(user.check_password, form.cleaned_data["password"])):
            device = second_factor.propose_device(user)
            request.session[PROPOSAL] = {"key": device.key, "until": time.time() + PROPOSAL_SECONDS}
            return _show_proposal(request, device, FirstCodeForm())
        form.add_error("password", "This is not your password.")
    return _page(request, form=form)


def _confirm(request: HttpRequest, user: User) -> HttpResponse:
    """Turn the second factor on with the first code of the secret that this session was shown."""
    proposal = request.session.get(PROPOSAL)
    if proposal is None or proposal["until"] < time.time():
        messages.error(request, "You took too long. Remove the entry from your app, and start again.")
        return HttpResponseRedirect(request.path)
    form = FirstCodeForm(request.POST)
    if form.is_valid():
        if device := second_factor.confirm_device(user, proposal["key"], form.cleaned_data["code"]):
            del request.session[PROPOSAL]
            request.session.cycle_key()
            bind_session(request, device)
            record_change(user, user, "Turned the second factor on.")
            return _page(request, is_on=True, codes=second_factor.make_recovery_codes(user))
        form.add_error("code", "This code is wrong. Check the clock of your phone, and wait for the next code.")
    return _show_proposal(request, second_factor.propose_device(user, proposal["key"]), form)


def _show_proposal(request: HttpRequest, device: TOTPDevice, form: FirstCodeForm) -> HttpResponse:
    image = mark_safe(second_factor.qr_code(device))  # noqa: S308  # an SVG path without user text
    return _page(request, form=form, qr_code=image, secret=second_factor.secret_text(device))


def _manage(request: HttpRequest, user: User) -> HttpResponse:
    form = ProofForm(request.POST if {"off", "codes"} & request.POST.keys() else None)
    if form.is_valid():
        if not check_secret(request, user, partial(_is_valid_proof, user, form.cleaned_data["proof"])):
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


def _is_valid_proof(user: User, proof: str) -> bool:
    return user.check_password(proof) or second_factor.use_code(user, proof)


def _page(request: HttpRequest, **context: object) -> HttpResponse:
    is_required = getattr(request.user, "must_have_second_factor", False)
    shared = admin.site.each_context(request) | {"title": "Second factor", "crumbs": [], "is_required": is_required}
    if is_required and "is_on" not in context:  # all other pages lead back to this one
        shared |= {"sidebar_navigation": [{"items": []}], "account_links": []}
    return TemplateResponse(request, "admin/second_factor.html", shared | context)
