"""Find settings that are safe on a machine of one's own, but not where others can reach the service."""

from collections.abc import Iterator

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004

LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}
MIN_PASSWORD = 12  # characters, as for users


def check_exposure() -> Iterator[CheckMessage]:
    """Yield salesengine.E101 for DEBUG, and E102 for an API without keys, where others can reach the service."""
    if settings.IS_PRIVATE:
        return
    if settings.DEBUG:
        message = "DEBUG is on, so error pages show settings and source code to everyone"
        yield Error(message, hint="Remove DEBUG from the settings.", id="salesengine.E101")
    if not settings.API_KEY_REQUIRED:
        hint = "Remove API_KEY_REQUIRED from the settings, and create keys with manage.py create_api_key."
        yield Error("everyone who can reach the service may send and read sales", hint=hint, id="salesengine.E102")


def check_database_passwords() -> Iterator[CheckMessage]:
    """Yield salesengine.W103 for a database on the network whose password is easy to guess."""
    own, reports = settings.DATABASES["default"], settings.DATABASES["reports"]
    for name, config in {"DATABASE_URL": own, "REPORTS_DATABASE_URL": reports}.items():
        user, password, host = (config.get(key) or "" for key in ("USER", "PASSWORD", "HOST"))
        is_weak = len(password) < MIN_PASSWORD or password.lower() == user.lower()
        is_repeated = config is reports and password == own.get("PASSWORD")
        # A database without a password has another way to know its users, such as a certificate.
        if password and is_weak and not is_repeated and host and not host.startswith("/"):
            hint = f"Give the user {MIN_PASSWORD} random characters or more: openssl rand -hex 16"
            yield Warning(f"the password in {name} is easy to guess", hint=hint, id="salesengine.W103")


def check_addresses() -> Iterator[CheckMessage]:
    """Yield salesengine.W104 if a proxy hides the addresses of clients, and W105 if any host name is accepted."""
    if not settings.IS_LOCAL and settings.HOST in LOOPBACK and not settings.TRUSTED_PROXY_COUNT:
        hint = "Set TRUSTED_PROXY_COUNT to the number of proxies, if there is a proxy."
        message = "all clients come from the proxy on this machine, so they share limits and count as one address"
        yield Warning(message, hint=hint, id="salesengine.W104")
    if "*" in settings.ALLOWED_HOSTS and not settings.IS_PRIVATE:
        hint = "List the host names of the service in ALLOWED_HOSTS."
        yield Warning("ALLOWED_HOSTS accepts every host name", hint=hint, id="salesengine.W105")
