"""`manage.py check` names settings that do not go together."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning  # noqa: A004  # Django's name

from salesengine.environment import MEMORY_CACHE


def check_rate_limit(**_: Any) -> list[CheckMessage]:
    """salesengine.W001 when each of several processes counts for itself."""
    alone = settings.CACHES["default"]["BACKEND"] == MEMORY_CACHE
    if settings.RATE_LIMIT is None or not alone or settings.WEB_CONCURRENCY < 2:
        return []
    return [
        Warning(
            f"RATE_LIMIT is counted by each of the {settings.WEB_CONCURRENCY} processes for itself, so that up to"
            f" {settings.WEB_CONCURRENCY} times as many requests get through.",
            hint="Set CACHE_URL to a Redis that all of them share, or WEB_CONCURRENCY=1.",
            id="salesengine.W001",
        )
    ]
