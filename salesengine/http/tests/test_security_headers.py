"""Every response tells browsers what it may do, and that they must not store it."""

import pytest

from salesengine.tests.clients import post

pytestmark = pytest.mark.django_db

ANSWERS = [
    "/",
    "/feedback",
    "/sales",
    "/changes",
    "/reports",
    "/nonsense",
    "/healthz",
    "/docs/problems",
    "/admin/login/",
    "/docs",
]


@pytest.mark.parametrize("url", ANSWERS)
def test_a_response_may_not_be_stored_embedded_or_use_the_device(client, url):
    response = client.get(url)

    assert "no-store" in response["Cache-Control"]
    assert response["X-Frame-Options"] == "DENY"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in response["Permissions-Policy"]
    assert "frame-ancestors 'none'" in response["Content-Security-Policy"]


def test_a_response_to_ingest_may_not_be_stored(api, event):
    assert post(api, [event], query="?dry_run=true")["Cache-Control"] == "no-store"


@pytest.mark.parametrize("url", ["/admin/", "/admin/sales/sale/", "/admin/nonsense/", "/docs", "/redoc", "/"])
def test_no_page_may_run_scripts_that_are_written_in_it(admin_client, url):
    policy = admin_client.get(url, headers={"Accept": "text/html"})["Content-Security-Policy"]

    directives = dict(directive.strip().partition(" ")[::2] for directive in policy.split(";"))
    assert "unsafe-inline" not in directives.get("script-src", directives["default-src"])
    assert directives["base-uri"] == "'none'"


def test_a_static_file_may_be_stored(client):
    response = client.get("/static/salesengine/icon.svg")
    response.close()

    assert "no-store" not in response["Cache-Control"]
