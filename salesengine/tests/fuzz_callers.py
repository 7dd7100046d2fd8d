"""Who sends the random requests: nobody, a superuser, one user of each group, a user without a group, and API keys."""

import http.client
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import Group, User
from django.contrib.sessions.backends.db import SessionStore

from salesengine.accounts.api_keys import create_key
from salesengine.accounts.models import APIKey, Scope

if TYPE_CHECKING:
    from salesengine.tests.fuzz_requests import FuzzRequest

CSRF_TOKEN = "f" * 32
ANONYMOUS, SUPERUSER, WITHOUT_GROUP = "anonymous", "superuser", "without a group"
GROUPS = ("Viewer", "Analyst", "Operator", "Administrator")
STAFF = (SUPERUSER, WITHOUT_GROUP, *GROUPS)
KEYS = tuple(Scope.values)


def new_credentials(caller: str) -> dict[str, bytes]:
    """Return the headers of a new session or API key. Creates the user, whom a request may have changed or deleted."""
    if caller in KEYS:
        APIKey.objects.filter(name=f"fuzz {caller}").delete()
        return {"Authorization": f"Api-Key {create_key(f'fuzz {caller}', [caller])}".encode()}
    rights = {"is_superuser": caller == SUPERUSER, "is_staff": True, "is_active": True}
    user, _ = User.objects.update_or_create(username=f"fuzz {caller}", defaults=rights)
    user.groups.set(Group.objects.filter(name=caller))
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "salesengine.accounts.login.StaffBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return {"Cookie": f"sessionid={session.session_key}; csrftoken={CSRF_TOKEN}".encode()}


class Service:
    """A running service, and the credentials of each caller, which are renewed whenever a random request ends them."""

    def __init__(self, url: str) -> None:
        self.address = urlsplit(url).netloc
        self.lock = threading.Lock()
        self.credentials: dict[str, dict[str, bytes]] = {ANONYMOUS: {}}
        for caller in (*STAFF, *KEYS):
            self.credentials[caller] = new_credentials(caller)

    def renew(self, caller: str, ended: dict[str, bytes]) -> None:
        """Replace these credentials, unless another thread did."""
        with self.lock:
            if self.credentials[caller] is ended:
                self.credentials[caller] = new_credentials(caller)

    def headers(self, request: "FuzzRequest") -> dict[str, bytes]:
        """Return the headers of a request, with the credentials of its caller where it has no others."""
        length = {"Content-Length": str(len(request.body)).encode()} if request.body else {}
        return {**self.credentials[request.caller], **request.headers, **length}

    def send(
        self, connection: http.client.HTTPConnection, request: "FuzzRequest"
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Send a request on a connection, and read the whole response."""
        credentials = self.credentials[request.caller]
        headers = self.headers(request)
        connection.putrequest(request.method, request.target, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(request.body or None)
        response = connection.getresponse()
        body = response.read()
        own = all(headers[name] == value for name, value in credentials.items())  # none was replaced at random
        is_login = request.caller in STAFF and "/admin/login/" in response.headers.get("Location", "")
        if credentials and own and (is_login or response.status == 401):
            self.renew(request.caller, credentials)
        return response, body
