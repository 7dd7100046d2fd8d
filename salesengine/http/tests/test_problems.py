"""Problem types: which exception gets which problem, and where each one is documented."""

import re
from html import unescape

import psycopg
import pytest
from django.core.exceptions import BadRequest, PermissionDenied
from django.db import DataError, OperationalError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.test import APIClient

from sales.totals import feedback
from salesengine.database import UnansweredCommit
from salesengine.http import errors
from salesengine.http.problem_types import METHOD_NOT_ALLOWED, PROBLEM_TYPES, TOOK_TOO_LONG
from salesengine.tests.clients import responses_of

pytestmark = pytest.mark.django_db
DRF_EXCEPTIONS = [
    cls for cls in vars(exceptions).values() if isinstance(cls, type) and issubclass(cls, exceptions.APIException)
]


@pytest.fixture
def fail_with(api, monkeypatch):
    """Return a function that makes GET /feedback fail with an exception and returns the response."""

    def get(error):
        def fail(query):
            raise error

        monkeypatch.setattr(feedback, "top_categories", fail)
        return api.get("/feedback")

    return get


def slug(response):
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["status"] == response.status_code
    return response.json()["type"].removeprefix("/docs/problems#")


def test_every_problem_has_a_unique_slug_and_title():
    assert len({problem.slug for problem in PROBLEM_TYPES}) == len(PROBLEM_TYPES)
    assert len({problem.title for problem in PROBLEM_TYPES}) == len(PROBLEM_TYPES)


def test_the_page_explains_every_problem_where_its_type_links_to(api):
    response = api.get("/docs/problems")

    page = unescape(response.content.decode())
    sections = dict(re.findall(r'<section class="problem" id="(.*?)">(.*?)</section>', page, re.DOTALL))
    assert list(sections) == [problem.uri.removeprefix("/docs/problems#") for problem in PROBLEM_TYPES]
    for problem in PROBLEM_TYPES:
        for text in (problem.title, str(problem.status), problem.meaning, problem.remedy):
            assert text in sections[problem.slug]


def test_the_page_runs_no_script(api):
    response = api.get("/docs/problems")

    assert response["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'; img-src 'self'")
    assert b"<script" not in response.content


def test_the_openapi_document_describes_every_problem_in_the_same_words(api):
    document = api.get("/openapi.json").json()

    responses = [
        response
        for operations in document["paths"].values()
        for operation in operations.values()
        for response in responses_of(document, operation).values()
    ]
    for problem in set(PROBLEM_TYPES) - {METHOD_NOT_ALLOWED}:
        matching = [response for response in responses if problem.meaning in response["description"]]
        assert matching, problem.slug
        for response in matching:
            content = response["content"]["application/problem+json"]
            assert problem.remedy in response["description"]
            assert problem.uri in content["schema"]["properties"]["type"]["enum"]
            assert problem.uri in [example["value"]["type"] for example in content["examples"].values()]
    assert "(/docs/problems)" in document["info"]["description"]


@pytest.mark.parametrize("cls", DRF_EXCEPTIONS)
def test_every_exception_of_drf_gets_a_problem_with_its_status(fail_with, cls):
    arguments = {exceptions.MethodNotAllowed: ("GET",), exceptions.UnsupportedMediaType: ("text/csv",)}
    error = cls(*arguments.get(cls, ()))

    response = fail_with(error)

    assert response.status_code == error.status_code
    assert slug(response) in {problem.slug for problem in PROBLEM_TYPES if problem.status == error.status_code}


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (Http404(), "not-found"),
        (PermissionDenied(), "not-allowed"),
        (OverflowError(), "internal-error"),
        (DataError("bad"), "internal-error"),
        (BadRequest(), "invalid-request"),
        (OperationalError("gone"), "database-unavailable"),
        (psycopg.OperationalError("gone"), "database-unavailable"),
        (psycopg.errors.DiskFull(), "database-unavailable"),
        (psycopg.errors.ReadOnlySqlTransaction(), "database-unavailable"),
        (psycopg.errors.LockNotAvailable(), "database-unavailable"),
        (psycopg.errors.QueryCanceled(), "database-unavailable"),
        (psycopg.errors.IdleInTransactionSessionTimeout(), "database-unavailable"),
        (psycopg.errors.SerializationFailure(), "database-unavailable"),
        (psycopg.errors.UndefinedTable(), "internal-error"),
        (psycopg.errors.ProgramLimitExceeded(), "internal-error"),
        (psycopg.errors.NumericValueOutOfRange(), "internal-error"),
        (UnansweredCommit("gone"), "outcome-unknown"),
        (errors.InvalidInput([]), "invalid-request"),
        (errors.InvalidEvents([]), "invalid-event"),
        (errors.EventConflict([]), "event-conflict"),
        (errors.RequestInProgress(), "request-in-progress"),
        (errors.ContentTooLarge(), "content-too-large"),
        (errors.IdempotencyKeyReused(), "idempotency-key-reused"),
        (errors.TooManyRejected(), "too-many-rejected"),
        (errors.ServiceBusy(), "service-busy"),
        (errors.DatabaseUnavailable(), "database-unavailable"),
        (errors.OutcomeUnknown(), "outcome-unknown"),
        (errors.TookTooLong(), "took-too-long"),
        (errors.ReportCheckFailed(), "report-check-failed"),
        (errors.ReportError(), "report-failed"),
        (errors.RunCancelled(), "run-cancelled"),
        (ZeroDivisionError(), "internal-error"),
    ],
)
def test_an_exception_gets_its_problem(fail_with, error, name):
    assert slug(fail_with(error)) == name


def test_the_detail_is_that_of_the_exception_or_the_meaning_of_its_problem(fail_with):
    assert fail_with(errors.TookTooLong("Request less.")).json()["detail"] == "Request less."
    assert fail_with(errors.TookTooLong()).json()["detail"] == TOOK_TOO_LONG.meaning


def test_a_conflict_lists_the_events(fail_with):
    body = fail_with(errors.EventConflict([{"pointer": "/1/EVENT_ID", "detail": "is stored"}], error_count=7)).json()

    assert (body["error_count"], body["errors"]) == (7, [{"pointer": "/1/EVENT_ID", "detail": "is stored"}])


@pytest.mark.parametrize(
    ("error", "wait"),
    [
        (errors.RequestInProgress(), "1"),
        (errors.ServiceBusy(), "2"),
        (errors.DatabaseUnavailable(), "5"),
        (exceptions.Throttled(42), "42"),
    ],
)
def test_a_temporary_problem_has_retry_after(fail_with, error, wait):
    assert fail_with(error)["Retry-After"] == wait


def test_a_wrong_method_gets_the_allowed_ones(api):
    response = api.get("/ingest")

    assert slug(response) == "method-not-allowed"
    assert response["Allow"] == "POST, OPTIONS"


def test_an_unsupported_format_gets_a_problem(api):
    assert slug(api.get("/feedback", headers={"Accept": "text/csv"})) == "not-acceptable"


def test_a_csrf_failure_gets_a_problem_or_in_the_back_office_a_page():
    client = APIClient(enforce_csrf_checks=True)

    assert slug(client.post("/healthz")) == "not-allowed"
    assert client.post("/admin/login/")["Content-Type"].startswith("text/html")
