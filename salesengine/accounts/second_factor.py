"""The optional second factor of staff: a code from an authenticator app (TOTP, RFC 6238), or a recovery code.

A user with a confirmed TOTP device has a second factor. A user has at most one such device. Each recovery code works
once. django-otp stores the devices and the codes, and slows down guessing.
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
TOTP_CODE = re.compile(r"[0-9]{6}")
RECOVERY_CODE = re.compile(r"[a-z2-7]{8}")


def get_device(user: "User") -> TOTPDevice | None:
    """Return the device that is the user's second factor, or None."""
    return TOTPDevice.objects.filter(user=user, confirmed=True).first()


def get_unconfirmed_device(user: "User") -> TOTPDevice:
    """Return the device that the user can confirm. It stays the same until it is confirmed."""
    device = TOTPDevice.objects.filter(user=user, confirmed=False).first()
    return device or TOTPDevice.objects.create(user=user, name="Phone", confirmed=False)


def confirm_device(user: "User", code: str) -> TOTPDevice | None:
    """Turn the second factor on with a code of the unconfirmed device. Returns None if the code is wrong."""
    with transaction.atomic():
        device = TOTPDevice.objects.select_for_update().filter(user=user, confirmed=False).first()
        if device is None or not device.verify_token(normalize_code(code)):
            return None
        device.confirmed = True
        device.save(update_fields=["confirmed"])
    return device


def make_recovery_codes(user: "User") -> list[str]:
    """Return new recovery codes, and delete the old ones. Show them now: no other function returns them."""
    with transaction.atomic():
        StaticDevice.objects.filter(user=user).delete()
        device = StaticDevice.objects.create(user=user, name="Recovery codes")
        tokens = [StaticToken(device=device, token=StaticToken.random_token()) for _ in range(RECOVERY_CODES)]
        StaticToken.objects.bulk_create(tokens)
    return [token.token for token in tokens]


def count_recovery_codes(user: "User") -> int:
    """Return how many recovery codes the user has left."""
    count: int = StaticToken.objects.filter(device__user=user).count()
    return count


def remove_second_factor(user: "User") -> bool:
    """Turn the second factor off, so that the password is enough to log in. Returns whether it was on."""
    with transaction.atomic():
        was_on = get_device(user) is not None
        TOTPDevice.objects.filter(user=user).delete()
        StaticDevice.objects.filter(user=user).delete()
    return was_on


def normalize_code(text: str) -> str:
    """Remove the spaces and hyphens that users type, as in 123 456 or ABCD-EFGH, and convert to lower case."""
    return re.sub(r"[\s-]", "", text).lower()


def is_code(text: str) -> bool:
    """Return whether the text has the form of a code. Validated passwords are longer."""
    code = normalize_code(text)
    return bool(TOTP_CODE.fullmatch(code) or RECOVERY_CODE.fullmatch(code))


def lock_device(user: "User", text: str) -> TOTPDevice | StaticDevice | None:
    """Lock and return the user's device for a code of this form, until the caller's transaction ends.

    The lock keeps two requests from using the same code.
    """
    model = TOTPDevice if TOTP_CODE.fullmatch(normalize_code(text)) else StaticDevice
    return model.objects.select_for_update().filter(user=user, confirmed=True).first()


def use_code(user: "User", text: str) -> bool:
    """Return whether the text is a valid code of the user, and use it up."""
    with transaction.atomic():
        device = lock_device(user, text)
        return device is not None and device.verify_token(normalize_code(text))


def secret_text(device: TOTPDevice) -> str:
    """Return the secret in groups of four characters, for users to type into their app."""
    return " ".join(re.findall(".{1,4}", b32encode(device.bin_key).decode()))


def qr_code(device: TOTPDevice) -> str:
    """Return the secret as a QR code, an SVG element. It is dark on light in both themes, so every app can scan it."""
    return segno.make(device.config_url, error="m").svg_inline(scale=4, dark="#000", light="#fff", omitsize=True)
