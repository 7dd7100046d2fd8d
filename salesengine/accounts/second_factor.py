"""The optional second factor of staff: a code from an authenticator app (TOTP, RFC 6238), or a recovery code.

A user with a confirmed TOTP device has a second factor. A user has at most one such device. Each recovery code works
once. django-otp stores the devices and the codes, and slows down guessing.
"""

import re
from base64 import b32encode
from typing import Any

import segno
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice, default_key

RECOVERY_CODES = 8
TOTP_CODE = re.compile(r"[0-9]{6}")
RECOVERY_CODE = re.compile(r"[a-z2-7]{8}")


def get_device(user: User) -> TOTPDevice | None:
    """Return the device that is the user's second factor, or None."""
    return TOTPDevice.objects.filter(user=user, confirmed=True).first()


def propose_device(user: User, key: str | None = None) -> TOTPDevice:
    """Return an unsaved device that `confirm_device` can save, with this secret or with a new one."""
    return TOTPDevice(user=user, name="Phone", key=key or default_key())


def confirm_device(user: User, key: str, code: str) -> TOTPDevice | None:
    """Turn the second factor on with a code of the proposed device. Returns None if the code is wrong."""
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)  # two requests must not save two devices
        if get_device(user) is not None:
            return None
        TOTPDevice.objects.filter(user=user).delete()
        device = propose_device(user, key)
        if device.verify_token(normalize_code(code)):  # saves the device and the time of the code
            return device
        transaction.set_rollback(True)
    return None


def make_recovery_codes(user: User) -> list[str]:
    """Return new recovery codes, and delete the old ones. Show them now: no other function returns them."""
    with transaction.atomic():
        StaticDevice.objects.filter(user=user).delete()
        device = StaticDevice.objects.create(user=user, name="Recovery codes")
        tokens = [StaticToken(device=device, token=StaticToken.random_token()) for _ in range(RECOVERY_CODES)]
        StaticToken.objects.bulk_create(tokens)
    return [token.token for token in tokens]


def count_recovery_codes(user: User) -> int:
    """Return how many recovery codes the user has left."""
    count: int = StaticToken.objects.filter(device__user=user).count()
    return count


def remove_second_factor(user: User) -> bool:
    """Turn the second factor off, so that the password is enough to log in. Returns whether it was on."""
    with transaction.atomic():
        was_on = get_device(user) is not None
        TOTPDevice.objects.filter(user=user).delete()
        StaticDevice.objects.filter(user=user).delete()
    return was_on


def normalize_code(text: str) -> str:
    """Remove the spaces and hyphens that users type, as in 123 456 or ABCD-EFGH, and convert to lower case."""
    return re.sub(r"[\s-]", "", text).lower()


def is_app_code(text: str) -> bool:
    """Return whether the text has the form of a code from an authenticator app."""
    return bool(TOTP_CODE.fullmatch(normalize_code(text)))


def is_recovery_code(text: str) -> bool:
    """Return whether the text has the form of a recovery code. A short password may have it too."""
    return bool(RECOVERY_CODE.fullmatch(normalize_code(text)))


def is_paused(user: User, text: str) -> bool:
    """Return whether django-otp accepts no code of this form now, because the last ones were wrong."""
    device = _devices(user, text).first()
    return device is not None and not device.verify_is_allowed()[0]


def use_code(user: User, text: str) -> bool:
    """Return whether the text is a valid code of the user, and use it up."""
    if not is_app_code(text) and not is_recovery_code(text):
        return False
    with transaction.atomic():
        device = _devices(user, text).select_for_update().first()  # two requests must not use the same code
        return device is not None and device.verify_token(normalize_code(text))


def _devices(user: User, text: str) -> QuerySet[Any]:
    """Return the user's devices for a code of this form, which are one or none."""
    model: Any = TOTPDevice if is_app_code(text) else StaticDevice
    devices: QuerySet[Any] = model.objects.filter(user=user, confirmed=True)
    return devices


def secret_text(device: TOTPDevice) -> str:
    """Return the secret in groups of four characters, for users to type into their app."""
    return " ".join(re.findall(".{1,4}", b32encode(device.bin_key).decode()))


def qr_code(device: TOTPDevice) -> str:
    """Return the secret as a QR code, an SVG element. It is dark on light in both themes, so every app can scan it."""
    return segno.make(device.config_url, error="m").svg_inline(scale=4, dark="#000", light="#fff", omitsize=True)
