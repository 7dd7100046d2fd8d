"""What holds for every address: errors, health and the documentation."""

import re

import pytest
from django.contrib.staticfiles import finders
from django.core.checks import run_checks
from django.db import OperationalError, connection
from psycopg_pool import PoolTimeout

from sales.totals import feedback

pytestmark = pytest.mark.django_db


def test_an_unknown_address_is_a_problem(api):
    response = api.get("/nowhere")

    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")
    assert response.json() == {
        "type": "/docs/problems#not-found",
        "title": "Not found",
        "status": 404,
        "detail": "This address does not exist; /docs lists all addresses.",
        "request_id": response["X-Request-ID"],
    }


def test_the_back_office_gets_pages_for_its_errors(admin_client):
    response = admin_client.get("/admin/nowhere/")

    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


def test_a_refused_host_is_a_problem(api):
    response = api.get("/feedback", headers={"Host": "elsewhere.example"})

    assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json")


@pytest.mark.parametrize("error", [OperationalError("gone"), PoolTimeout("none free")])
def test_a_database_that_is_away_is_503_with_a_time_to_try_again(api, monkeypatch, error):
    def fail(query):
        raise error

    monkeypatch.setattr(feedback, "top_categories", fail)
    response = api.get("/feedback")

    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert response["Content-Type"] == "application/problem+json"


def test_a_thousand_parameters_are_refused(api):
    response = api.get("/feedback?" + "&".join("a=b" for _ in range(1_001)))

    assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json")


def test_a_mistake_of_ours_is_told_without_its_details(api, monkeypatch, caplog):
    def fail(query):
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(feedback, "top_categories", fail)
    response = api.get("/feedback")

    assert (response.status_code, response["Content-Type"]) == (500, "application/problem+json")
    assert b"secret" not in response.content
    assert "a secret" in caplog.text


def test_the_root_leads_to_the_documentation(api):
    assert api.get("/")["Location"] == "/docs"


def test_healthz_asks_no_database(api, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert api.get("/healthz").status_code == 200


def test_readyz_tells_whether_the_database_answers(api, monkeypatch):
    ready = api.get("/readyz").status_code

    def fail():
        raise OperationalError("gone")

    monkeypatch.setattr(connection, "cursor", fail)
    assert (ready, api.get("/readyz").status_code) == (200, 503)


@pytest.mark.parametrize("address", ["/docs", "/redoc"])
def test_the_documentation_needs_no_other_host(api, address):
    response = api.get(address)

    assert response.status_code == 200
    assert b"//cdn" not in response.content
    assert b"https://" not in response.content
    assert "default-src 'self'" in response["Content-Security-Policy"]


@pytest.mark.parametrize("address", ["/docs", "/redoc", "/docs/problems"])
def test_the_documentation_is_only_read(api, address):
    assert api.options(address).status_code == 405


def test_there_is_an_icon(api):
    assert finders.find(api.get("/favicon.ico")["Location"].removeprefix("/static/"))


def test_the_openapi_document_describes_the_event(api):
    document = api.get("/openapi.json").json()

    [event, _] = document["paths"]["/ingest"]["post"]["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    assert event["required"] == [name for name in event["properties"] if name not in {"BRAND", "CATEGORY", "EVENT_ID"}]
    assert event["additionalProperties"] is False
    assert "design & decoration" in str(event["properties"]["CATEGORY"])
    assert "/feedback" in document["paths"]


def test_the_openapi_document_says_that_a_body_is_needed(api):
    assert api.get("/openapi.json").json()["paths"]["/ingest"]["post"]["requestBody"]["required"] is True


@pytest.mark.parametrize("revenue", ["much 5", "5 euro", ""])
def test_the_openapi_document_takes_no_revenue_that_the_service_refuses(api, revenue):
    document = api.get("/openapi.json").json()

    [event, _] = document["paths"]["/ingest"]["post"]["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    [_, text] = event["properties"]["REVENUE"]["anyOf"]
    assert re.search(text["pattern"], revenue) is None
    assert re.search(text["pattern"], "-57.27456")


def test_the_project_has_no_system_check_issues():
    assert run_checks() == []
