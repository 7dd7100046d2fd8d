"""Reports of unexpected exceptions, if SENTRY_DSN is set. Otherwise nothing of Sentry's SDK is imported."""

from typing import TYPE_CHECKING

from django.conf import settings

from salesengine.http.request_ids import current_request_id

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint


def start() -> None:
    """Report exceptions from here on, if SENTRY_DSN is set."""
    if not settings.SENTRY_DSN:
        return
    import sentry_sdk
    from sentry_sdk.integrations.django import DjangoIntegration

    sentry_sdk.init(
        settings.SENTRY_DSN,
        release=f"salesengine@{settings.SPECTACULAR_SETTINGS['VERSION']}",
        integrations=[DjangoIntegration()],
        auto_enabling_integrations=False,  # they import every library that they know
        before_send=prepare,
        send_default_pii=False,
        max_request_body_size="never",
        include_local_variables=False,  # they contain sales and keys
        max_breadcrumbs=0,  # they contain log messages and statements
        auto_session_tracking=False,
    )


def prepare(event: "Event", hint: "Hint") -> "Event | None":
    """Return what to report: the exception, the request's id, and its method and URL without the query string.

    Log messages without an exception are not reported, nor are exceptions while the database is away.
    """
    from salesengine.http.errors import is_database_unavailable  # importable only after the apps are loaded

    _, error, _ = hint.get("exc_info") or (None, None, None)
    if error is None or is_database_unavailable(error):
        return None
    event.setdefault("tags", {})["request_id"] = current_request_id()
    if request := event.get("request"):
        event["request"] = {name: request[name] for name in ("method", "url") if name in request}
    return event
