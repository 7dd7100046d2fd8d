"""The second factor, for staff who want one: a code that a phone shows (TOTP, RFC 6238), or a recovery code.

A user has it while there is a confirmed TOTP device of theirs, and has at most one. The recovery codes, each of which
opens the door once, belong to it. django-otp keeps both and slows down who guesses.
"""

import re
from base64 import b32encode
from typing import TYPE_CHECKING

import segno
from django.db import transaction
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

if TYPE_CHECKING:
    from django.contrib.auth.models import User

RECOVERY_CODES = 8
PHONE_CODE = re.compile(r"[0-9]{6}")
RECOVERY_CODE = re.compile(r"[a-z2-7]{8}")


def find_phone(user: "User") -> TOTPDevice | None:
    """The device that makes the user's second factor, if there is one."""
    return TOTPDevice.objects.filter(user=user, confirmed=True).first()


def propose_phone(user: "User") -> TOTPDevice:
    """The device that the user could confirm, the same one until then."""
    proposed = TOTPDevice.objects.filter(user=user, confirmed=False).first()
    return proposed or TOTPDevice.objects.create(user=user, name="Phone", confirmed=False)


def confirm_phone(user: "User", code: str) -> TOTPDevice | None:
    """Switch the second factor on with the first code of the proposed device; None where the code is wrong."""
    with transaction.atomic():
        phone = TOTPDevice.objects.select_for_update().filter(user=user, confirmed=False).first()
        if phone is None or not phone.verify_token(cleaned_code(code)):
            return None
        phone.confirmed = True
        phone.save(update_fields=["confirmed"])
    return phone


def make_recovery_codes(user: "User") -> list[str]:
    """New codes, which are shown now and never again; those of before are worth nothing any more."""
    with transaction.atomic():
        StaticDevice.objects.filter(user=user).delete()
        device = StaticDevice.objects.create(user=user, name="Recovery codes")
        tokens = [StaticToken(device=device, token=StaticToken.random_token()) for _ in range(RECOVERY_CODES)]
        StaticToken.objects.bulk_create(tokens)
    return [token.token for token in tokens]


def recovery_codes_left(user: "User") -> int:
    left: int = StaticToken.objects.filter(device__user=user).count()
    return left


def remove_second_factor(user: "User") -> bool:
    """Log-ins then take a password alone. Whether there was anything to remove."""
    with transaction.atomic():
        had_one = find_phone(user) is not None
        TOTPDevice.objects.filter(user=user).delete()
        StaticDevice.objects.filter(user=user).delete()
    return had_one


def cleaned_code(text: str) -> str:
    """A code as it is kept, however it was typed: 123 456, ABCD-EFGH."""
    return re.sub(r"[\s-]", "", text).lower()


def is_code(text: str) -> bool:
    """Whether this has the form of a code. No password can have it: they are longer."""
    code = cleaned_code(text)
    return bool(PHONE_CODE.fullmatch(code) or RECOVERY_CODE.fullmatch(code))


def lock_device_for(user: "User", text: str) -> TOTPDevice | StaticDevice | None:
    """The user's device that a code of this form is for, in the caller's transaction: a code is good for one only."""
    model = TOTPDevice if PHONE_CODE.fullmatch(cleaned_code(text)) else StaticDevice
    return model.objects.select_for_update().filter(user=user, confirmed=True).first()


def accepts(user: "User", text: str) -> bool:
    """Whether this is a code of the user's, which then is used up."""
    with transaction.atomic():
        device = lock_device_for(user, text)
        return device is not None and device.verify_token(cleaned_code(text))


def secret_text(phone: TOTPDevice) -> str:
    """The secret as people type it into a phone: groups of four."""
    return " ".join(re.findall(".{1,4}", b32encode(phone.bin_key).decode()))


def qr_code(phone: TOTPDevice) -> str:
    """The secret as phones read it: an SVG element, in either theme dark on light, as all of them can read it."""
    return segno.make(phone.config_url, error="m").svg_inline(scale=4, dark="#000", light="#fff", omitsize=True)
