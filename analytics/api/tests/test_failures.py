"""GET /reports/{name} returns an error if the report cannot run or its result is wrong."""

import pytest
from django.db import connection, connections, transaction

from analytics.api.tests.helpers import get, rows
from analytics.models import ReportRun
from salesengine.database import WritingConnection
from salesengine.tests.clients import problem_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])


def last_outcome():
    return ReportRun.objects.latest("id").outcome


def test_an_unknown_report_is_404_with_the_names_of_all(api, write_report):
    write_report("SELECT 1 AS one")
    detail = problem_of(get(api, name="other"), 404, "not-found")["detail"]

    assert detail == "There is no report 'other'. The reports are: probe."


@pytest.mark.parametrize("name", ["..%2Fprobe", "probe.sql", "Probe", "probe%0A", "probe/", "%00"])
def test_a_similar_name_does_not_lead_to_a_file(api, write_report, name):
    write_report("SELECT 1 AS one")

    problem_of(get(api, name=name), 404, "not-found")


def test_an_invalid_file_is_422_with_the_reason(api, sql_dir):
    (sql_dir / "broken.sql").write_text("SELECT 1")
    detail = problem_of(get(api, name="broken"), 422, "report-failed")["detail"]

    assert "is invalid: broken.sql, line 1: the file must begin with" in detail


def test_an_error_of_postgresql_is_returned_in_its_words(api, write_report):
    write_report("SELECT colour FROM sales")
    detail = problem_of(get(api), 422, "report-failed")["detail"]

    assert 'probe.sql: column "colour" does not exist' in detail
    assert last_outcome() == "error"


@pytest.mark.parametrize("name", ["json", "csv", "xlsx"])
def test_an_error_in_the_last_row_returns_no_rows(api, write_report, name):
    write_report("SELECT 1 / (5000 - n) AS n FROM generate_series(1, 5000) AS n")
    detail = problem_of(get(api, {"format": name}), 422, "report-failed")["detail"]

    assert "division by zero" in detail
    assert last_outcome() == "error"


def test_a_slow_report_is_503(api, write_report):
    write_report("SELECT pg_sleep(5)::text AS slept", header='timeout = "1s"\n')
    detail = problem_of(get(api), 503, "took-too-long")["detail"]

    assert "The limit is 1 second " in detail
    assert last_outcome() == "timed out"


def test_a_report_on_a_locked_table_is_503_after_the_limit_of_requests(api, write_report, monkeypatch):
    monkeypatch.setattr(WritingConnection, "session", WritingConnection.session | {"lock_timeout": "200ms"})
    write_report("SELECT name FROM country")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE country IN ACCESS EXCLUSIVE MODE")
        problem_of(get(api), 503, "database-unavailable")


def test_a_result_that_fails_an_assertion_is_409(api, write_report):
    check = '[[assertions]]\nexpression = "MIN(n) > 1"\nmessage = "There is a one."\n'
    write_report("SELECT 1 AS n", header=check)
    detail = problem_of(get(api), 409, "report-check-failed")["detail"]

    assert detail == "probe.sql: the result failed an assertion. There is a one."
    assert last_outcome() == "failed assertion"


def test_a_warning_is_percent_encoded_in_a_header(api, write_report):
    check = '[[assertions]]\nrows = ">= 2"\nseverity = "warn"\nmessage = """Trop peu 0 € de 100 %\nof them"""\n'
    write_report("SELECT 1 AS n", header=check)
    response = get(api)

    assert response["Report-Warnings"] == "Trop peu 0 %E2%82%AC de 100 %25%0Aof them"
    assert rows(response) == [{"n": 1}]


def test_a_long_warning_is_cut(api, write_report):
    check = f'[[assertions]]\nrows = ">= 2"\nseverity = "warn"\nmessage = "{"x" * 5_000}"\n'
    write_report("SELECT 1 AS n", header=check)

    assert get(api)["Report-Warnings"] == "x" * 300 + "..."


def test_a_good_result_has_no_header_for_warnings(api, write_report):
    write_report("SELECT 1 AS n")

    assert "Report-Warnings" not in get(api)


def test_an_unreachable_database_is_503_with_retry_after(api, write_report, monkeypatch):
    write_report("SELECT 1 AS n")
    connections["reports"].close()
    monkeypatch.setitem(connections["reports"].settings_dict, "HOST", "/nowhere")
    response = get(api)

    problem_of(response, 503, "database-unavailable")
    assert response["Retry-After"] == "5"


def test_a_broken_connection_is_503(api, write_report):
    write_report("SELECT pg_terminate_backend(pg_backend_pid())")

    problem_of(get(api), 503, "database-unavailable")


def test_a_value_that_does_not_fit_the_format_is_422(api, write_report):
    write_report("SELECT repeat('x', 40000) AS text")

    assert "32,767" in problem_of(get(api, {"format": "xlsx"}), 422, "report-failed")["detail"]
    assert get(api, {"format": "csv"}).status_code == 200


def test_a_report_cannot_write(api, write_report):
    write_report("SELECT nextval('sales_id_seq') AS n")

    assert "permission denied" in problem_of(get(api), 422, "report-failed")["detail"]


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_other_methods_are_405(api, write_report, method):
    write_report("SELECT 1 AS one")

    problem_of(getattr(api, method)("/reports/probe"), 405, "method-not-allowed")
