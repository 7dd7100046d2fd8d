"""The OpenAPI document describes each report as its file does at the time of the request."""

import pytest

from analytics.api.tests.helpers import ALL_TYPES, ALL_VALUES
from salesengine.tests.clients import responses_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def document(api, write_report):
    """Return the document with a report that has a parameter of each type."""
    write_report(ALL_VALUES, header=ALL_TYPES)
    return api.get("/openapi.json").json()


@pytest.fixture
def operation(document):
    return document["paths"]["/reports/probe"]["get"]


def paths(api):
    return api.get("/openapi.json").json()["paths"]


def test_a_new_file_gets_a_path_immediately(api, sql_dir, write_report):
    before = {path for path in paths(api) if path.startswith("/reports")}
    write_report("SELECT 1 AS one")
    (sql_dir / "broken.sql").write_text("SELECT 1")

    assert before == {"/reports"}
    assert {path for path in paths(api) if path.startswith("/reports")} == {"/reports", "/reports/probe"}


def test_an_operation_has_the_title_and_description_of_its_report(operation):
    assert (operation["operationId"], operation["summary"]) == ("report_probe", "The probe")
    assert operation["description"].startswith("What <b>probe</b> does.\n\nA run may take at most 60 seconds.")
    assert operation["security"][0] == {"ApiKey": ["reports"]}
    assert "the scope `reports`" in operation["description"]


def test_a_parameter_has_its_type_default_and_limits(operation):
    parameters = {each["name"]: each for each in operation["parameters"]}

    assert parameters.keys() == {
        *("day", "moment", "number", "share", "words", "size", "category", "country", "sure", "needed"),
        *("format", "limit", "If-None-Match"),
    }
    assert parameters["day"]["schema"] == {"type": "string", "default": "2021-01-07"}
    assert "30 days ago" in parameters["day"]["description"]
    assert parameters["number"]["schema"] == {
        "type": "integer",
        "format": "int64",
        "minimum": 1,
        "maximum": 9,
        "default": 5,
    }
    assert parameters["share"]["schema"] == {"type": "number", "default": 0.25}
    assert parameters["size"]["schema"] == {"type": "string", "enum": ["", "small", "large"]}
    assert parameters["size"]["description"] == "How large it is; empty: no value"
    assert "shoes" in parameters["category"]["schema"]["enum"]
    assert parameters["sure"]["schema"] == {"type": "boolean", "default": True}
    assert [name for name, each in parameters.items() if each.get("required")] == ["needed"]
    assert parameters["number"]["allowEmptyValue"] is True
    assert parameters["needed"]["allowEmptyValue"] is False


def test_responses_have_media_types_and_headers(document, operation):
    responses = responses_of(document, operation)
    rows = responses["200"]

    assert next(iter(rows["content"])) == "application/json"
    assert {"text/csv", "application/x-ndjson", "text/markdown"} < rows["content"].keys()
    assert {"Report-Rows", "Report-Row-Limit", "Report-Truncated", "Report-Warnings", "ETag"} < rows["headers"].keys()
    assert responses["304"]["headers"].keys() == {"ETag"}
    assert {"400", "404", "409", "422", "503"} < responses.keys()


def test_problems_of_reports_are_not_listed_for_other_paths(document, operation):
    ingest = responses_of(document, document["paths"]["/ingest"]["post"])

    assert "report-check-failed" in str(responses_of(document, operation)["409"])
    assert "report" not in str(ingest["409"])
    assert "report" not in str(ingest["422"])
    assert "cancelled" not in str(ingest["503"])
