"""The sessions of staff. Requests to the API with a key need no session, so they skip the middleware for it."""

import re
from typing import Any

from django.contrib.sessions.backends import db
from django.http import HttpRequest, HttpResponse

SCHEME = "Api-Key "
# How the paths of the API begin. No page has a path that begins like this.
API_PATHS = ("/ingest", "/corrections", "/feedback", "/sales", "/changes", "/reports", "/metrics")

# Django's keys have 32 of these characters.
SESSION_KEY = re.compile("[a-z0-9]{32}")


class SessionStore(db.SessionStore):
    """Keep sessions in the database, and take only keys such as Django makes.

    Django passes other keys on to the database. A cookie can contain the character NUL, which PostgreSQL refuses.
    """

    def _validate_session_key(self, key: str | None) -> bool:
        return bool(key and SESSION_KEY.fullmatch(key))


class SkipWithKey:
    """Skip all middleware after this one for requests that send a key to the API.

    With a key, salesengine.accounts.api_keys does not look at the session.
    """

    def __init__(self, get_response: Any) -> None:
        self.get_response = self.view = get_response
        while next_one := getattr(self.view.__wrapped__, "get_response", None):  # Django wraps each middleware
            self.view = next_one

    def __call__(self, request: HttpRequest) -> HttpResponse:
        has_key = request.META.get("HTTP_AUTHORIZATION", "").startswith(SCHEME)
        handle = self.view if has_key and request.path_info.startswith(API_PATHS) else self.get_response
        response: HttpResponse = handle(request)
        return response
