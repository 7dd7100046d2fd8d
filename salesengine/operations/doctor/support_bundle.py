"""What a support bundle contains: facts about the service without its data, its keys or its secrets.

Settings are shown only if their values cannot be secrets: numbers, durations, dates, yes and no. Of others, the bundle
says whether they are set. In the texts of findings, everything that the operator has set is replaced.
"""

import datetime
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.checks import CheckMessage
from django.utils import timezone

from salesengine.operations.doctor.diagnosis import as_dict, status
from salesengine.operations.doctor.queries import query

HARMLESS_TYPES = (bool, int, float, datetime.timedelta, datetime.date)
SENSITIVE_VARIABLE = re.compile("KEY|PASSWORD|SECRET|TOKEN|DSN|URL|CREDENTIAL")
SENSITIVE_SETTINGS = ("DATABASES", "CACHES")
MIN_LENGTH = 4  # of a text to replace
REPLACEMENT = "[redacted]"
KNOWN_NAMES = {"salesengine"}  # the default name of the database and its user
PROGRAM_TEXTS = re.compile(r"(salesengine|django|rest_framework)(\.\w+)+")  # dotted names in settings

# A partitioned table has the sums of its partitions.
TABLES = """
    SELECT (SELECT relname FROM pg_class WHERE oid = root) AS table, SUM(n_live_tup)::bigint AS rows,
        SUM(n_dead_tup)::bigint AS dead_rows, SUM(pg_table_size(relid))::bigint AS bytes,
        SUM(pg_indexes_size(relid))::bigint AS index_bytes, COUNT(*) FILTER (WHERE relid <> root) AS partitions,
        MAX(last_autovacuum)::text, MAX(last_autoanalyze)::text
    FROM pg_stat_user_tables, coalesce(pg_partition_root(relid), relid) AS root
    WHERE schemaname = current_schema()
    GROUP BY root
    ORDER BY 1
    """
TABLE_COLUMNS = (
    *("table", "rows", "dead_rows", "bytes", "index_bytes", "partitions"),
    *("last_autovacuum", "last_autoanalyze"),
)
DATABASE_SETTINGS = """
    SELECT name, CASE WHEN vartype = 'string' THEN 'set' ELSE setting || coalesce(' ' || unit, '') END
    FROM pg_settings WHERE source NOT IN ('default', 'override') ORDER BY name
    """
MIGRATIONS = "SELECT app || '.' || name FROM django_migrations ORDER BY app, name"


def bundle_contents(findings: Sequence[CheckMessage], *, has_database: bool) -> dict[str, Any]:
    """Return the contents of the bundle by name, ready for JSON."""
    contents: dict[str, Any] = {
        "doctor": {"status": status(findings), "findings": [_redacted(finding) for finding in findings]},
        "settings": {name: shown(getattr(settings, name)) for name in _setting_names()},
        "versions": _versions(),
    }
    if has_database:
        contents["tables"] = [dict(zip(TABLE_COLUMNS, row, strict=True)) for row in query(TABLES)]
        contents["database_settings"] = dict(query(DATABASE_SETTINGS))
        contents["migrations"] = [name for (name,) in query(MIGRATIONS)]
    return contents


def shown(value: Any) -> Any:
    """Return a value as the bundle shows it: itself if its type cannot hold a secret, otherwise whether it is set."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, HARMLESS_TYPES):
        return str(value)
    if value and isinstance(value, tuple) and all(isinstance(item, HARMLESS_TYPES) for item in value):
        return [shown(item) for item in value]
    return "set" if value else "empty"


def redact(text: str) -> str:
    """Replace what the operator has set."""
    for private in sorted(_private_texts(), key=len, reverse=True):
        text = text.replace(private, REPLACEMENT)
    return text


def _redacted(finding: CheckMessage) -> Mapping[str, Any]:
    """Return a finding without what it is about, which may be a client's name, and without quoted SQL."""
    fields = as_dict(finding)
    del fields["about"]
    return fields | {
        "message": redact(fields["message"].partition("\n")[0]),
        "what_to_do": redact(fields["what_to_do"] or "") or None,
    }


def _setting_names() -> list[str]:
    is_overridden = settings.is_overridden  # type: ignore[misc]  # missing in the stubs
    return sorted(name for name in dir(settings) if name.isupper() and is_overridden(name))


def _versions() -> dict[str, Any]:
    return {
        "service": settings.SPECTACULAR_SETTINGS["VERSION"],
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": sorted({f"{each.name}=={each.version}" for each in distributions()}),
        "made_at": timezone.now(),
    }


def _private_texts() -> set[str]:
    """Return the texts in settings that come from the environment, and those of variables that name a secret."""
    names = {name for name in _setting_names() if name in os.environ} | {*SENSITIVE_SETTINGS, "SECRET_KEY"}
    values = [text for name in names for text in _texts(getattr(settings, name))]
    values += [value for name, value in os.environ.items() if SENSITIVE_VARIABLE.search(name)]
    parts = {part for value in values for part in (value, unquote(value), *_url_parts(value))}
    return {
        text
        for text in parts
        if len(text) >= MIN_LENGTH and text not in KNOWN_NAMES and not PROGRAM_TEXTS.fullmatch(text)
    }


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in a value, in a list, and in the values of a dictionary."""
    if isinstance(value, str | Path):
        yield str(value)
    elif isinstance(value, Mapping):
        yield from _texts(list(value.values()))
    elif isinstance(value, Iterable):
        for item in value:
            yield from _texts(item)


def _url_parts(text: str) -> Iterator[str]:
    try:
        url = urlsplit(text)
        parts = [url.username, url.password, url.hostname, url.path.strip("/")] if url.scheme else []
    except ValueError:
        return
    yield from (unquote(part) for part in parts if part)
