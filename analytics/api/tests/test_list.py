"""GET /reports lists the reports, for those who may see them."""

import pytest

from analytics.api.tests.helpers import ALL_TYPES, ALL_VALUES, Client, content, errors_of
from analytics.models import ReportRun
from salesengine.accounts.api_keys import create_key
from salesengine.tests.clients import problem_of, staff_client

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])


def client_with_key(*scopes):
    client = Client()
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {create_key('shop', scopes)}")
    return client


@pytest.fixture
def key_required(settings, write_report):
    settings.API_KEY_REQUIRED = True
    write_report("SELECT 1 AS one")


def test_the_list_describes_each_report(api, write_report):
    write_report(ALL_VALUES, header=ALL_TYPES)
    [report] = api.get("/reports").json()

    parameters = {parameter.pop("name"): parameter for parameter in report.pop("parameters")}
    assert report == {
        "name": "probe",
        "title": "The probe",
        "description": "What <b>probe</b> does.",
        "topic": "Other",
        "address": "http://testserver/reports/probe",
        "timeout": 60,
    }
    plain = {"required": False, "help": "", "choices": [], "minimum": None, "maximum": None}
    assert parameters["day"] == plain | {"type": "date", "default": "2021-01-07"}
    assert parameters["number"] == plain | {"type": "integer", "default": "5", "minimum": 1, "maximum": 9}
    assert parameters["size"] == plain | {
        "type": "choice",
        "default": None,
        "choices": ["small", "large"],
        "help": "How large it is.",
    }
    assert parameters["sure"]["default"] == "true"
    assert parameters["needed"]["required"] is True
    assert "shoes" in parameters["category"]["choices"]


def test_the_list_omits_invalid_files(api, write_report, sql_dir):
    write_report("SELECT 1 AS one")
    (sql_dir / "broken.sql").write_text("SELECT 1")

    assert [report["name"] for report in api.get("/reports").json()] == ["probe"]


def test_the_list_has_no_query_parameters(api, sql_dir):
    assert errors_of(api.get("/reports", {"topic": "Other"})).keys() == {"topic"}


@pytest.mark.parametrize("path", ["/reports", "/reports/probe"])
def test_a_key_needs_the_scope_reports(key_required, path):
    assert client_with_key("reports").get(path).status_code == 200
    detail = problem_of(client_with_key("read", "ingest").get(path), 403, "not-allowed")["detail"]
    assert "reports" in detail
    assert "read, ingest" in detail


@pytest.mark.parametrize("path", ["/reports", "/reports/probe"])
def test_without_a_key_only_staff_have_access(key_required, api, path):
    problem_of(api.get(path, headers={"Accept": "text/csv, application/json"}), 401, "not-authenticated")
    response = staff_client(group="Analyst").get(path)
    response.close()  # Django's client closes a streaming response only after its last byte is read
    assert response.status_code == 200
    assert ReportRun.objects.filter(sender="user:jo").exists() == (path == "/reports/probe")


def test_the_log_has_the_sender_and_the_size_of_a_run(key_required):
    response = client_with_key("reports").get("/reports/probe?format=csv")

    run = ReportRun.objects.get()
    assert (run.report, run.channel, run.sender, run.format, run.outcome) == ("probe", "api", "shop", "csv", "ok")
    assert (run.rows, run.bytes) == (1, len(content(response)))
