"""A request with an API key pays for no session, and every other request has one."""

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.middleware import SessionMiddleware
from django.test import Client
from django.urls import URLResolver, get_resolver
from rest_framework.views import APIView

from salesengine.accounts.api_keys import create_key
from salesengine.accounts.sessions import API_PATHS
from salesengine.tests.clients import post

pytestmark = pytest.mark.django_db


@pytest.fixture
def sessions(monkeypatch):
    """Return the list of the paths for which a session was read."""
    paths = []
    process_request = SessionMiddleware.process_request

    def note(self, request):
        paths.append(request.path)
        return process_request(self, request)

    monkeypatch.setattr(SessionMiddleware, "process_request", note)
    return paths


def key_header(*scopes):
    return {"Authorization": f"Api-Key {create_key('shop', scopes)}"}


def test_a_request_with_a_key_reads_no_session(api, event, sessions):
    headers = key_header("ingest", "read")

    assert post(api, [event], **headers).status_code == 201
    assert api.get("/feedback", headers=headers).status_code == 200
    assert api.get("/sales/of/nobody", headers=headers).status_code == 404
    assert sessions == []
    assert api.get("/feedback").status_code == 200
    assert sessions == ["/feedback"]


@pytest.mark.parametrize("key", ["wrong", "", "a.b"])
def test_a_wrong_key_is_refused_even_within_a_session_of_staff(client, settings, key):
    settings.API_KEY_REQUIRED = True
    client.force_login(User.objects.create_superuser("alice"))
    assert client.get("/feedback").status_code == 200

    assert client.get("/feedback", headers={"Authorization": f"Api-Key {key}"}).status_code == 401


@pytest.mark.parametrize("key", ["\0aaaaaaaaaaaa", "é" * 32, "a" * 33, "A" * 32])
@pytest.mark.parametrize(
    ("path", "status"),
    [("/admin/", 302), ("/admin/login/", 200), ("/feedback", 401), ("/metrics", 401), ("/docs", 302)],
)
def test_a_forged_session_key_is_no_session(client, settings, key, path, status):
    settings.API_KEY_REQUIRED = True
    client.cookies["sessionid"] = key

    assert client.get(path).status_code == status


def test_a_key_on_a_page_changes_nothing(client):
    headers = key_header("ingest", "read")
    assert client.get("/admin/", headers=headers).status_code == 302
    strict = Client(enforce_csrf_checks=True)
    assert strict.post("/admin/login/", {"username": "a", "password": "b"}, headers=headers).status_code == 403

    client.force_login(User.objects.create_superuser("alice"))
    assert client.get("/admin/", headers=headers).status_code == 200


def test_an_unknown_address_of_the_api_is_not_found_with_a_key_too(client):
    client.force_login(User.objects.create_superuser("alice"))

    assert client.get("/reportsandmore", headers=key_header("reports")).status_code == 404


def test_a_response_to_a_key_has_the_same_headers(api, event):
    headers = key_header("ingest") | {"X-Request-ID": "one"}
    quick = post(api, [event], **headers)
    # The scheme is case-insensitive, and sessions are only skipped for its usual form.
    slow = post(api, [event], **headers | {"Authorization": headers["Authorization"].replace("Api-Key", "api-key")})

    assert dict(quick.headers) == dict(slow.headers)


def test_only_the_api_has_addresses_that_skip_sessions():
    views = {}
    for pattern in get_resolver().url_patterns:
        shared = isinstance(pattern, URLResolver) and not str(pattern.pattern)
        for each in pattern.url_patterns if shared else [pattern]:
            views[f"/{each.pattern}"] = getattr(getattr(each, "callback", None), "view_class", object)
    skipping = {route: view for route, view in views.items() if route.startswith(API_PATHS)}

    assert len(skipping) >= len(API_PATHS)
    assert all(issubclass(view, APIView) for view in skipping.values()), skipping
