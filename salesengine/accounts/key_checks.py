"""Find API keys that stop working soon, or that nobody uses."""

from collections.abc import Iterator
from datetime import timedelta

from django.core.checks import CheckMessage, Warning  # noqa: A004
from django.db.models.functions import Coalesce
from django.utils import timezone

from salesengine.accounts.models import APIKey, KeyState, in_state
from salesengine.plurals import counted

EXPIRY_PERIOD = timedelta(days=7)  # before and after the expiry of a key
UNUSED_PERIOD = timedelta(days=90)


def check_expiring_keys() -> Iterator[CheckMessage]:
    """Yield salesengine.W301 for keys that have just expired, or will soon: their clients get 401."""
    now = timezone.now()
    near = APIKey.objects.filter(revoked=False, expiry_date__range=(now - EXPIRY_PERIOD, now + EXPIRY_PERIOD)).order_by(
        "name", "prefix"
    )
    if near:
        message = f"{counted(len(near), 'API key')} expired in the last {EXPIRY_PERIOD.days} days, or will in the next"
        hint = "Create a new key for each client, switch the client to it, and revoke the old key."
        yield Warning(message, hint=hint, obj=", ".join(map(str, near)), id="salesengine.W301")


def check_unused_keys() -> Iterator[CheckMessage]:
    """Yield salesengine.W302 for valid keys that nobody has used for long."""
    before = timezone.now() - UNUSED_PERIOD
    unused = (
        APIKey.objects.filter(in_state(KeyState.VALID))
        .alias(used=Coalesce("last_used", "created"))
        .filter(used__lt=before)
        .order_by("name", "prefix")
    )
    if unused:
        message = f"{counted(len(unused), 'API key')} not used for {UNUSED_PERIOD.days} days"
        hint = "Revoke the keys that nobody needs in the admin."
        yield Warning(message, hint=hint, obj=", ".join(map(str, unused)), id="salesengine.W302")
