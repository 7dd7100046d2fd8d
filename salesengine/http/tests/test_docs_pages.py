"""The start page, and who may read about the API."""

import gzip

import pytest

from salesengine.accounts.api_keys import create_key
from salesengine.http.docs_pages import LINKS
from salesengine.tests.clients import problem_of, staff_client

pytestmark = pytest.mark.django_db

PRIVATE = ["/docs", "/redoc", "/openapi.json"]


def test_the_start_page_links_to_everything_for_people(client):
    page = client.get("/", headers={"Accept": "text/html,*/*;q=0.8"})

    assert page["Content-Type"].startswith("text/html")
    for _, url, title, _ in LINKS:
        assert f'<a href="{url}">{title}</a>' in page.content.decode()


@pytest.mark.parametrize("accept", ["*/*", "application/json"])
def test_the_start_page_lists_the_urls_for_programs(client, accept):
    document = client.get("/", headers={"Accept": accept}).json()

    assert document == {
        "name": "Sales Engine",
        "back_office": "/admin/",
        "docs": "/docs",
        "redoc": "/redoc",
        "problems": "/docs/problems",
        "openapi": "/openapi.json",
    }


@pytest.mark.parametrize("url", PRIVATE)
def test_without_required_keys_everybody_may_read_about_the_api(client, url):
    assert client.get(url).status_code == 200


@pytest.mark.parametrize("url", PRIVATE)
def test_with_required_keys_staff_may_read_about_the_api(settings, url):
    settings.API_KEY_REQUIRED = True

    assert staff_client().get(url).status_code == 200


@pytest.mark.parametrize("url", ["/docs", "/redoc"])
def test_with_required_keys_strangers_are_asked_to_log_in(settings, client, url):
    settings.API_KEY_REQUIRED = True

    assert client.get(url)["Location"] == f"/admin/login/?next={url}"


def test_with_required_keys_the_openapi_document_needs_any_key(settings, client):
    settings.API_KEY_REQUIRED = True
    key = create_key("shop", ["ingest"])

    problem_of(client.get("/openapi.json"), 401, "not-authenticated")
    assert client.get("/openapi.json", headers={"Authorization": f"Api-Key {key}"}).status_code == 200


def test_with_required_keys_everybody_may_read_about_problems(settings, client):
    settings.API_KEY_REQUIRED = True

    assert client.get("/docs/problems").status_code == 200
    assert client.get("/").status_code == 200


def test_the_openapi_document_is_small_and_compressed(client):
    response = client.get("/openapi.json", headers={"Accept-Encoding": "gzip"})

    assert len(response.content) < 20_000
    assert len(gzip.decompress(response.content)) < 150_000


def test_the_openapi_document_is_sent_again_only_if_it_changed(client):
    first = client.get("/openapi.json")

    assert first["Cache-Control"] == "private, no-cache"
    assert client.get("/openapi.json", headers={"If-None-Match": first["ETag"]}).status_code == 304


@pytest.mark.parametrize("media_type", ["application/json", "application/vnd.oai.openapi+json"])
def test_the_openapi_document_has_the_requested_media_type(client, media_type):
    assert client.get("/openapi.json", headers={"Accept": media_type})["Content-Type"] == media_type


def test_swagger_ui_gets_the_token_with_which_staff_send_requests(client):
    assert "csrftoken" in client.get("/docs").cookies
