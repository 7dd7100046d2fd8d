"""Run each check of the settings and the database on its own, so that one failure does not stop the others."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import psycopg
from django.conf import settings
from django.core.checks import ERROR, CheckMessage, Error, Warning  # noqa: A004
from django.core.checks.registry import registry
from django.core.checks.security.base import check_secret_key
from django.db import DEFAULT_DB_ALIAS, connection
from django.db import Error as DjangoDatabaseError

from salesengine.http.errors import CONNECTION_ERRORS

QUERY_LIMIT = "5s"
LEVELS = ("ok", "warning", "problem")  # the index is the exit code

UNAVAILABLE = "salesengine.E100"
PENDING_MIGRATIONS = "salesengine.E202"

Check = Callable[[], Iterable[CheckMessage]]


def diagnose(
    settings_checks: Sequence[Check], database_checks: Sequence[Check], table_checks: Sequence[Check]
) -> list[CheckMessage]:
    """Return what these checks and all registered system checks find, problems first.

    A check that fails or takes too long becomes salesengine.W100. Without a database, the result has salesengine.E100,
    and only the settings are checked. While migrations are pending, `table_checks` do not run.
    """
    unavailable = _database_error()
    databases = None if unavailable else [DEFAULT_DB_ALIAS]
    # Django's checks for production ask for what local mode does not have, such as TLS. Its secret key must be strong.
    registered: list[Callable[..., Any]] = [*registry.get_checks(include_deployment_checks=not settings.IS_LOCAL)]
    registered += [check_secret_key] if settings.IS_LOCAL else []
    checks: list[Check] = [partial(check, app_configs=None, databases=databases) for check in registered]
    with nullcontext() if unavailable else _query_limit():
        found = [*unavailable, *_run([*checks, *settings_checks])]
        if not unavailable:
            found += _run(database_checks)
            if all(finding.id != PENDING_MIGRATIONS for finding in found):
                found += _run(table_checks)
    audible = [finding for finding in found if not finding.is_silenced()]
    return sorted(audible, key=lambda finding: (-finding.level, str(finding.id), str(finding.obj)))


def level(finding: CheckMessage) -> str:
    return "problem" if finding.level >= ERROR else "warning"


def status(findings: Iterable[CheckMessage]) -> str:
    """Return the worst level, or ok."""
    return max((level(finding) for finding in findings), key=LEVELS.index, default="ok")


def as_dict(finding: CheckMessage) -> dict[str, Any]:
    """Return a finding for JSON."""
    about = None if finding.obj is None else str(finding.obj)
    return {
        "id": finding.id,
        "level": level(finding),
        "message": finding.msg,
        "about": about,
        "what_to_do": finding.hint,
    }


def _database_error() -> list[CheckMessage]:
    try:
        connection.ensure_connection()
    except CONNECTION_ERRORS as error:
        hint = "Start PostgreSQL, or correct DATABASE_URL. Then run this again: most checks need the database."
        return [Error(f"the database is unavailable: {str(error).strip()}", hint=hint, id=UNAVAILABLE)]
    return []


def _run(checks: Iterable[Check]) -> Iterator[CheckMessage]:
    for check in checks:
        try:
            yield from list(check())
        except (DjangoDatabaseError, psycopg.Error, OSError) as error:
            name = (check.func if isinstance(check, partial) else check).__name__
            hint = "Run this again. If it stays, the database is overloaded, or its user lacks a right."
            reason = str(error).partition("\n")[0]
            message = f"not checked, because of an error: {reason}"
            yield Warning(message, hint=hint, obj=name.removeprefix("check_").replace("_", " "), id="salesengine.W100")


@contextmanager
def _query_limit() -> Iterator[None]:
    """Let each query of the block take at most QUERY_LIMIT."""
    limits = ("statement_timeout", "lock_timeout")
    with connection.cursor() as cursor:
        for name in limits:
            cursor.execute("SELECT set_config(%s, %s, false)", [name, QUERY_LIMIT])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            for name in limits:
                cursor.execute(f"RESET {name}")
