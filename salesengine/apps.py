"""The app `salesengine`, and a check of settings that do not fit together."""

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks

from salesengine.environment import MEMORY_CACHE
from salesengine.operations.database_checks import check_database

checks.register(check_database, checks.Tags.database)


class SalesEngineConfig(AppConfig):
    name = "salesengine"
    verbose_name = "Access"


@checks.register
def check_rate_limit(**_: Any) -> list[checks.CheckMessage]:
    """Warn with salesengine.W001 if several processes count requests separately."""
    is_shared = settings.CACHES["default"]["BACKEND"] != MEMORY_CACHE
    if settings.RATE_LIMIT is None or is_shared or settings.WEB_CONCURRENCY < 2:
        return []
    return [
        checks.Warning(
            f"Each of the {settings.WEB_CONCURRENCY} processes counts RATE_LIMIT separately, so up to"
            f" {settings.WEB_CONCURRENCY} times as many requests are allowed.",
            hint="Set CACHE_URL to a Redis that all processes share, or set WEB_CONCURRENCY=1.",
            id="salesengine.W001",
        )
    ]
