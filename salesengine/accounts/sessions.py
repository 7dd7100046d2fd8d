"""Middleware for the sessions of staff. Requests to the API with a key need no session, so they skip it."""

from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest

from salesengine.accounts.login import SecondFactorMiddleware

SCHEME = "Api-Key "
# What the paths of the API begin with. No page has such a path.
API_PATHS = ("/ingest", "/corrections", "/feedback", "/sales", "/changes", "/reports", "/metrics")


class SkippedWithKey:
    """Skip a middleware for requests that send a key to the API.

    With a key, salesengine.accounts.api_keys does not look at the session.
    """

    get_response: Any

    def __call__(self, request: HttpRequest) -> Any:
        if request.META.get("HTTP_AUTHORIZATION", "").startswith(SCHEME) and request.path_info.startswith(API_PATHS):
            return self.get_response(request)
        return super().__call__(request)  # type: ignore[misc]


class StaffSessionMiddleware(SkippedWithKey, SessionMiddleware):
    """Read the session of staff."""


class StaffAuthenticationMiddleware(SkippedWithKey, AuthenticationMiddleware):
    """Read the user of the session."""


class StaffSecondFactorMiddleware(SkippedWithKey, SecondFactorMiddleware):
    """Check the second factor of the session."""


class StaffMessageMiddleware(SkippedWithKey, MessageMiddleware):
    """Keep messages for the next page."""
