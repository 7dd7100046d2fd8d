"""The app `salesengine`, and checks of settings that do not fit together or not to the database."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.db import DatabaseError

from salesengine.environment import MEMORY_CACHE
from salesengine.operations import error_reports, tracing
from salesengine.operations.database_checks import check_database

checks.register(check_database, checks.Tags.database)


class SalesEngineConfig(AppConfig):
    name = "salesengine"
    verbose_name = "Access"

    def ready(self) -> None:
        tracing.start()
        error_reports.start()


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


@checks.register(checks.Tags.database)
def check_required_groups(databases: Sequence[str] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """Find with salesengine.E004 groups in SECOND_FACTOR_REQUIRED that do not exist, as after a typo."""
    from django.contrib.auth.models import Group

    from salesengine.accounts.login import ALL_STAFF

    names = set(settings.SECOND_FACTOR_REQUIRED) - {ALL_STAFF}
    if not databases or not names:
        return []
    try:
        missing = names - set(Group.objects.filter(name__in=names).values_list("name", flat=True))
    except DatabaseError:  # before the first migration
        return []
    return [
        checks.Error(f"SECOND_FACTOR_REQUIRED names a group that does not exist: {name}.", id="salesengine.E004")
        for name in sorted(missing)
    ]
