"""Read and validate settings from the environment and from `.env`. Invalid values raise ImproperlyConfigured."""

import datetime
import io
import os
import re
import secrets
from collections.abc import Collection
from contextlib import suppress
from ipaddress import IPv6Address
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from django.utils.crypto import salted_hmac
from environ.fileaware_mapping import FileAwareMapping

from salesengine.operations.durations import InvalidDurationError, parse_duration

BASE_DIR = Path(__file__).resolve().parent.parent


def why(error: OSError | UnicodeDecodeError) -> str:
    """Say why a file cannot be read."""
    return f"{error.strerror}" if isinstance(error, OSError) else "it is not UTF-8"


class Environment(FileAwareMapping):  # type: ignore[misc]  # django-environ has no types
    """The environment variables. NAME_FILE names a file that contains the value of NAME."""

    def __getitem__(self, name: str) -> str:
        try:
            return str(super().__getitem__(name))
        except (OSError, UnicodeDecodeError) as error:
            path = os.environ[f"{name}_FILE"]
            raise ImproperlyConfigured(f"{name}_FILE is {path}, which cannot be read: {why(error)}") from None


env = environ.Env()
env.ENVIRON = Environment(cache=False)

# How a dead network is noticed. A database's URL can override these.
NETWORK_OPTIONS: dict[str, Any] = {
    "connect_timeout": 3,  # seconds
    "keepalives_idle": 10,  # seconds
    "keepalives_interval": 5,  # seconds
    "keepalives_count": 2,
    "tcp_user_timeout": 10_000,  # milliseconds
}

LONGEST_TIMEOUT = 2_147_483  # seconds; PostgreSQL's timeouts have 31 bits, in milliseconds
MAX_ARCHIVE_TIMEOUT = 1_073_741_823  # seconds, PostgreSQL's maximum of archive_timeout
MAX_SESSION_HOURS = 10 * 365 * 24

ENV_LINE = re.compile(r"(?:export )?[A-Za-z_0-9]+=.*|\s*(?:#.*)?")

POSTGRESQL_SCHEMES = ("postgres", "postgresql", "psql", "pgsql")
ENCODE = "Percent-encode / @ # : [ % in the user and the password: %2F is a slash. The port is a number up to 65535."

BOOLEANS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def read_env_file(name: str) -> None:
    """Read the settings file `name` into the environment, or `.env` if the name is empty and this file exists."""
    path = Path(name or BASE_DIR / ".env")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, FileNotFoundError) and not name:
            return
        raise ImproperlyConfigured(f"The settings file {path} cannot be read: {why(error)}") from None
    for number, line in enumerate(text.splitlines(), 1):
        if not ENV_LINE.fullmatch(line):  # the message leaves the line out, because it may be a password
            raise ImproperlyConfigured(f"{path}, line {number}: a setting must have the form NAME=value")
    env.read_env(io.StringIO(text))


def read_folder(name: str) -> Path | None:
    """Read a path, which is None if it is not set. The URL of an object store is an error."""
    text = env(name, default="")
    if "://" in text:
        raise ImproperlyConfigured(f"{name} is {text}, but must be a folder. manage.py backup --to takes a URL.")
    return Path(text).resolve() if text else None


def read_bool(name: str, default: bool) -> bool:
    """Read true or false. Anything else is an error, so that a typo never switches a safeguard off."""
    text = env(name, default=str(default)).strip().lower()
    if text not in BOOLEANS:
        raise ImproperlyConfigured(f"{name} is {text!r}, but must be true or false")
    return BOOLEANS[text]


def read_int(name: str, default: int, minimum: int = 0, maximum: int | None = None) -> int:
    """Read a whole number from `minimum` to `maximum`."""
    text = env(name, default=str(default))
    if not text.strip().isdecimal():
        raise ImproperlyConfigured(f"{name} is {text!r}, but must be a whole number")
    if int(text) < minimum:
        raise ImproperlyConfigured(f"{name} is {text}, but must be at least {minimum}")
    if maximum is not None and int(text) > maximum:
        raise ImproperlyConfigured(f"{name} is {text}, but must be at most {maximum}")
    return int(text)


def read_choice(name: str, choices: Collection[str]) -> str:
    """Read one of the choices. Return the first one if nothing is set."""
    text = env(name, default="").strip() or next(iter(choices))
    if text not in choices:
        raise ImproperlyConfigured(f"{name} is {text!r}, but must be one of {', '.join(filter(None, choices))}")
    return text


def read_date(name: str, default: str) -> datetime.date:
    """Read a date such as 2000-01-01."""
    text = env(name, default=default).strip()
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise ImproperlyConfigured(f"{name} is {text!r}, but must be a date such as 2000-01-01") from None


def read_duration(name: str, default: str) -> datetime.timedelta:
    """Read a duration such as 1d or 12h."""
    try:
        return parse_duration(env(name, default=default))
    except InvalidDurationError as error:
        raise ImproperlyConfigured(f"{name}: {error}") from None


def read_list(name: str, default: list[str]) -> list[str]:
    """Read a list that is separated by commas. Return the default if nothing is set."""
    return [item.strip() for item in env.list(name, default=[])] or default


def read_host(name: str, default: str) -> str:
    """Read a host name or an IP address, and put an IPv6 address into brackets, as URLs need it."""
    text: str = env(name, default="").strip() or default
    in_brackets = re.fullmatch(r"\[(.*)\]", text)
    with suppress(ValueError):
        return f"[{IPv6Address(in_brackets[1] if in_brackets else text)}]"
    if re.search(r"[/:\[]", text):
        raise ImproperlyConfigured(f"{name} is {text!r}, but must be a host name or an IP address, without a port")
    return text


def read_http_url(name: str) -> str:
    """Read a URL of HTTP, or empty text."""
    text: str = env(name, default="").strip()
    if text and not re.match(r"https?://[^/]", text):
        raise ImproperlyConfigured(f"{name} must be a URL that starts with http:// or https://")
    return text


def read_sentry_dsn(name: str) -> str:
    """Read the address of a project in Sentry, or empty text."""
    text: str = env(name, default="").strip()
    if not text:
        return ""
    from sentry_sdk.utils import Dsn  # not imported if nothing is set

    try:
        Dsn(text)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be the address of a project: https://KEY@HOST/NUMBER") from None
    return text


def read_database(name: str) -> dict[str, Any]:
    """Read a PostgreSQL URL and return it as an entry of DATABASES, with NETWORK_OPTIONS.

    The errors leave the value out, because it may contain a password.
    """
    url = env(name).strip()
    error = ImproperlyConfigured(f"{name} must be a PostgreSQL URL: postgres://user:password@host:5432/name. {ENCODE}")
    if url.partition("://")[0].lower() not in POSTGRESQL_SCHEMES:
        raise error
    try:
        config: dict[str, Any] = env.db_url_config(url)
    except ValueError:
        raise error from None
    if re.search("[/@]", config["NAME"]):  # the rest of a password with a slash
        raise error
    if not config["NAME"] and "service" not in config.get("OPTIONS", {}):
        raise ImproperlyConfigured(f"{name} has no name of a database: postgres://user:password@host:5432/name")
    if config.get("CONN_MAX_AGE"):
        raise ImproperlyConfigured(f"{name} must not have conn_max_age: the service decides how long connections last")
    return config | {"ENGINE": "salesengine.postgresql", "OPTIONS": NETWORK_OPTIONS | config.get("OPTIONS", {})}


def forget_other_postgresql() -> None:
    """Remove variables such as PGSSLMODE and PGSERVICE, which change the connections of each program of PostgreSQL.

    They are meant for another server than the private one.
    """
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]


def add_options(database: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Return an entry of DATABASES with these options and those of its URL, such as sslmode."""
    return database | {"OPTIONS": database.get("OPTIONS", {}) | options}


def as_reports_role(database: dict[str, Any], secret_key: str) -> dict[str, Any]:
    """Return an entry of DATABASES for the role of reports, which `manage.py prepare` creates.

    A role belongs to all databases of a server, so its name contains that of the database.
    """
    password = salted_hmac("salesengine.reports_role", database["NAME"], secret=secret_key, algorithm="sha256")
    return database | {"USER": f"{database['NAME']}_reports", "PASSWORD": password.hexdigest()}


SECONDS = {"second": 1, "minute": 60, "hour": 60 * 60, "day": 24 * 60 * 60}
RATE = re.compile(rf"([0-9]+)/({'|'.join(SECONDS)})")
MEMORY_CACHE = "django.core.cache.backends.locmem.LocMemCache"
REDIS_CACHE = "django.core.cache.backends.redis.RedisCache"
CACHE_TIMEOUT = 0.5  # seconds; requests wait for the cache


def parse_rate(text: str) -> tuple[int, int] | None:
    """Parse 600/minute as (600, 60), which is (requests, seconds), and empty text as None, which is no limit."""
    if not text.strip():
        return None
    match = RATE.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        raise ImproperlyConfigured(
            f"RATE_LIMIT is {text!r}, but must be a number from 1, a slash, and second, minute, hour or day, such as"
            " 600/minute, or empty for no limit"
        )
    return int(match[1]), SECONDS[match[2]]


def cache_config(url: str) -> dict[str, Any]:
    """Return an entry of CACHES: the Redis at `url`, or the memory of each process if `url` is empty."""
    if not url:
        # One entry per sender. Django's default of 300 entries is too few.
        return {"BACKEND": MEMORY_CACHE, "OPTIONS": {"MAX_ENTRIES": 10_000}}
    error = ImproperlyConfigured(f"CACHE_URL must be a Redis URL: redis://host:6379/0, or rediss:// for TLS. {ENCODE}")
    if not url.startswith(("redis://", "rediss://")):
        raise error
    try:
        config: dict[str, Any] = environ.Env.cache_url_config(url)
        locations = config["LOCATION"]
        for location in [locations] if isinstance(locations, str) else locations:
            _ = urlsplit(location).port  # raises ValueError
    except ValueError:
        raise error from None
    timeouts = {"socket_timeout": CACHE_TIMEOUT, "socket_connect_timeout": CACHE_TIMEOUT}
    options = timeouts | config.get("OPTIONS", {})
    return {"KEY_PREFIX": "salesengine"} | config | {"BACKEND": REDIS_CACHE, "OPTIONS": options}


def secret_key(local_dir: Path) -> str:
    """Return the secret key in `local_dir`. The first process generates it. Only the file's owner can read it."""
    key = ""
    path = local_dir / "secret_key"
    try:
        if not path.exists():
            local_dir.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile("w", dir=local_dir) as draft, suppress(FileExistsError):
                draft.write(secrets.token_urlsafe(50))
                draft.flush()
                os.fsync(draft.fileno())  # a power failure would otherwise leave an empty file
                os.link(draft.name, path)  # fails if another process was faster; its key is used then
        with suppress(UnicodeDecodeError):
            key = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ImproperlyConfigured(f"LOCAL_DIR is {local_dir}, which cannot be used: {error.strerror}") from None
    if not key.strip():
        raise ImproperlyConfigured(
            f"{path} is empty or not UTF-8. Restore it. Or delete it and run manage.py prepare, which generates a new"
            " key: then everybody must log in again."
        )
    return key
