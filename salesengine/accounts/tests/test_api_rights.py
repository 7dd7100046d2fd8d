"""Every endpoint of the API, and everybody who may and may not use it."""

import json

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLResolver, get_resolver
from rest_framework.test import APIClient

from salesengine.accounts.api_keys import create_key
from salesengine.tests.clients import allow, enrol, staff_client

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "singles", "reports"])

GROUPS = ("Viewer", "Analyst", "Operator", "Administrator")
KEYS = {
    f"key: {'+'.join(scopes)}": scopes
    for scopes in (["ingest"], ["read"], ["correct"], ["reports"], ["read", "reports"], ["metrics"])
}
UNKNOWN = ("anonymous", "superuser without the second factor")
CALLERS = (*UNKNOWN, *KEYS, *GROUPS, "no group", "not staff", "superuser")

ALL = set(CALLERS)
READERS = {"key: read", "key: read+reports", *GROUPS, "superuser"}
SENDERS = {"key: ingest", "Operator", "Administrator", "superuser"}
CORRECTORS = {"key: correct", "Operator", "Administrator", "superuser"}
RUNNERS = {"key: reports", "key: read+reports", *GROUPS, "superuser"}
STAFF = {"no group", *GROUPS, "superuser"}
WATCHERS = {"key: metrics", "Analyst", "Operator", "Administrator", "superuser"}

# Each route with a request, and who may make it.
MATRIX = [
    ("ingest", "POST", "/ingest", SENDERS),
    ("ingest", "POST", "/ingest?dry_run=true", SENDERS),
    ("corrections", "POST", "/corrections", CORRECTORS),
    ("feedback", "GET", "/feedback", READERS),
    ("changes", "GET", "/changes", READERS),
    ("sales", "GET", "/sales", READERS),
    ("sales/<any_text:id_order>", "GET", "/sales/30040549", READERS),
    ("reports", "GET", "/reports", RUNNERS),
    ("reports/<str:name>", "GET", "/reports/top_brands?limit=100", RUNNERS),
    ("reports/<str:name>", "HEAD", "/reports/top_brands?limit=100", RUNNERS),
    ("reports/<str:name>", "GET", "/reports/top_brands", RUNNERS - {"Viewer"}),
    ("reports/<str:name>", "GET", "/reports/top_brands?limit=101", RUNNERS - {"Viewer"}),
    ("reports/<str:name>", "GET", "/reports/top_brands?limit=100&format=csv", RUNNERS - {"Viewer"}),
    ("reports/<str:name>", "HEAD", "/reports/top_brands?format=csv", RUNNERS - {"Viewer"}),
    ("reports/<str:name>", "GET", "/reports/sales?limit=100", RUNNERS - {"key: reports"}),
    ("reports/<str:name>", "HEAD", "/reports/sales?limit=100", RUNNERS - {"key: reports"}),
    ("reports/<str:name>", "GET", "/reports/sales?format=csv", RUNNERS - {"key: reports", "Viewer"}),
    ("metrics", "GET", "/metrics", WATCHERS),
    ("openapi.json", "GET", "/openapi.json", {*KEYS, *STAFF}),
    ("docs", "GET", "/docs", STAFF),
    ("redoc", "GET", "/redoc", STAFF),
    *((route, "GET", f"/{route}", ALL) for route in ("", "docs/problems", "favicon.ico", "healthz", "readyz")),
]
LOGIN_PAGES = {"/docs", "/redoc"}  # send others to the login


def routes(resolver, prefix=""):
    """Return all routes but those of the back office, whose permissions have tests of their own."""
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if route.startswith("admin/"):
            continue
        if isinstance(pattern, URLResolver):
            yield from routes(pattern, route)
        else:
            yield route


def client_of(caller):
    if caller in KEYS:
        return APIClient(headers={"Authorization": f"Api-Key {create_key('shop', KEYS[caller])}"})
    if caller in GROUPS:
        return staff_client(group=caller)
    if caller == "no group":
        return staff_client()
    client = Client()
    if caller == "not staff":
        user = User.objects.create_user("jo")
        allow(user, *("sales.ingest_sale", "sales.view_sale", "analytics.view_report", "analytics.export_report"))
        client.force_login(user)
    elif caller != "anonymous":
        user = User.objects.create_superuser("jo")
        if caller != "superuser":
            enrol(user)
        client.force_login(user)
    return client


def outcome(client, method, url, event):
    body = json.dumps(event) if method == "POST" else ""
    response = client.generic(method, url, body, content_type="application/json")
    response.close()
    if response.status_code == 404:
        assert "has this order id" in response.json()["detail"]  # which only those who may read sales learn
    if "/login/" in response.headers.get("Location", ""):
        return "login"
    return response.status_code if response.status_code in {401, 403} else "allowed"


def test_every_route_has_a_row():
    assert {route for route, *_ in MATRIX} == set(routes(get_resolver()))


@pytest.mark.parametrize("caller", CALLERS)
def test_each_caller_may_use_exactly_their_endpoints(settings, event, caller):
    settings.API_KEY_REQUIRED = True
    client = client_of(caller)

    outcomes = {row[1:3]: outcome(client, row[1], row[2], event) for row in MATRIX}

    refused = 401 if caller in UNKNOWN else 403
    assert outcomes == {
        (method, url): "allowed" if caller in who else "login" if url in LOGIN_PAGES else refused
        for _, method, url, who in MATRIX
    }


@pytest.mark.parametrize("caller", ["anonymous", "no group"])
def test_where_no_key_is_required_everything_is_allowed_without_one(settings, event, caller):
    settings.API_KEY_REQUIRED = False
    client = client_of(caller)

    assert {outcome(client, method, url, event) for _, method, url, _ in MATRIX} == {"allowed"}


@pytest.mark.parametrize("caller", ["key: reports", "key: read+reports", "Viewer"])
def test_the_list_of_reports_has_only_those_that_the_caller_may_run(settings, caller):
    settings.API_KEY_REQUIRED = True

    names = {report["name"] for report in client_of(caller).get("/reports").json()}

    assert "top_brands" in names
    assert ("sales" in names) is (caller != "key: reports")


def test_a_viewer_is_told_how_to_get_a_page_without_the_permission(settings):
    settings.API_KEY_REQUIRED = True

    detail = client_of("Viewer").get("/reports/top_brands?format=csv").json()["detail"]

    assert "analytics.export_report" in detail
    assert "format=json&limit=100 or less" in detail
