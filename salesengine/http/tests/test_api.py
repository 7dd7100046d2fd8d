"""Errors, health checks and the documentation, which all endpoints share."""

import re

import pytest
from django.contrib.staticfiles import finders
from django.core.checks import run_checks
from django.db import OperationalError, connection
from psycopg_pool import PoolTimeout

from sales.totals import feedback
from salesengine.tests.clients import problem_of

pytestmark = pytest.mark.django_db


def test_an_unknown_url_gets_a_problem(api):
    response = api.get("/nowhere")

    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")
    assert response.json() == {
        "type": "/docs/problems#not-found",
        "title": "Not found",
        "status": 404,
        "detail": "This URL does not exist; /docs lists all endpoints.",
        "request_id": response["X-Request-ID"],
    }


def test_a_disallowed_host_gets_a_problem(api):
    response = api.get("/feedback", headers={"Host": "elsewhere.example"})

    assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json")


@pytest.mark.parametrize("error", [OperationalError("gone"), PoolTimeout("no free connection")])
def test_an_unavailable_database_gets_503_with_retry_after(api, monkeypatch, error):
    def fail(query):
        raise error

    monkeypatch.setattr(feedback, "top_categories", fail)
    response = api.get("/feedback")

    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert response["Content-Type"] == "application/problem+json"


def test_more_than_a_thousand_parameters_are_rejected(api):
    response = api.get("/feedback?" + "&".join("a=b" for _ in range(1_001)))

    problem = problem_of(response, 400, "invalid-request")
    assert problem["detail"] == "A URL may have at most 1,000 parameters."


def test_a_host_that_is_not_allowed_is_named_as_the_reason(api):
    response = api.get("/feedback", headers={"Host": "elsewhere.example"})

    assert "host name" in problem_of(response, 400, "invalid-request")["detail"]


def test_an_unexpected_exception_is_logged_and_its_details_are_not_sent(api, monkeypatch, caplog):
    def fail(query):
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(feedback, "top_categories", fail)
    response = api.get("/feedback")

    assert (response.status_code, response["Content-Type"]) == (500, "application/problem+json")
    assert b"secret" not in response.content
    assert "a secret" in caplog.text


def test_healthz_does_not_use_the_database(api, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert api.get("/healthz").status_code == 200


def test_requests_need_an_allowed_host(api):
    assert api.get("/feedback", headers={"Host": "10.0.0.7:8000"}).status_code == 400


def test_readyz_reports_whether_the_database_is_available(api, monkeypatch):
    def fail():
        raise OperationalError("gone")

    assert api.get("/readyz").status_code == 200
    monkeypatch.setattr(connection, "cursor", fail)
    assert api.get("/readyz").status_code == 503


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_documentation_loads_nothing_from_other_hosts(api, path):
    response = api.get(path)

    assert response.status_code == 200
    assert b"//cdn" not in response.content
    assert b"https://" not in response.content
    assert "default-src 'self'" in response["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/docs/problems"])
def test_the_documentation_allows_only_reading(api, path):
    assert api.options(path).status_code == 405


def test_favicon_redirects_to_an_existing_icon(api):
    assert finders.find(api.get("/favicon.ico")["Location"].removeprefix("/static/"))


def test_the_openapi_document_describes_the_event(api):
    document = api.get("/openapi.json").json()

    [event, _] = document["paths"]["/ingest"]["post"]["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    assert event["required"] == [name for name in event["properties"] if name not in {"BRAND", "CATEGORY", "EVENT_ID"}]
    assert event["additionalProperties"] is False
    assert "design & decoration" in str(event["properties"]["CATEGORY"])
    assert "/feedback" in document["paths"]


def test_the_openapi_document_requires_a_body(api):
    assert api.get("/openapi.json").json()["paths"]["/ingest"]["post"]["requestBody"]["required"] is True


@pytest.mark.parametrize("revenue", ["much 5", "5 euro", ""])
def test_the_openapi_document_rejects_the_same_revenues_as_the_service(api, revenue):
    document = api.get("/openapi.json").json()

    [event, _] = document["paths"]["/ingest"]["post"]["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    [_, text] = event["properties"]["REVENUE"]["anyOf"]
    assert re.search(text["pattern"], revenue) is None
    assert re.search(text["pattern"], "-57.27456")


def test_the_project_has_no_system_check_issues():
    assert run_checks() == []
