"""Downloads of results."""

import csv
import io
from datetime import UTC, datetime

import pytest

from analytics.backoffice.tests.pages import LIST, PAGE
from analytics.models import ReportRun
from analytics.running.errors import ReportFailed
from salesengine.tests.clients import text_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

CSV = f"{LIST}probe.csv"
EXTENSIONS = ["csv", "xlsx", "parquet", "json", "ndjson", "md"]


def csv_of(response):
    return list(csv.reader(io.StringIO(response.getvalue().decode(), newline="")))


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_each_format_can_be_downloaded_and_is_logged_with_its_bytes(admin_client, write_report, extension):
    write_report("SELECT generate_series(1, 3) AS n")
    assert f'formaction="{LIST}probe.{extension}"' in text_of(admin_client.get(PAGE))
    content = admin_client.get(f"{LIST}probe.{extension}").getvalue()
    run = ReportRun.objects.get()
    assert (run.outcome, run.rows, run.channel, run.sender) == ("ok", 3, "admin", "admin")
    assert run.bytes == len(content) > 0
    assert run.format == {"md": "markdown"}.get(extension, extension)


def test_the_download_is_named_after_report_and_day(admin_client, write_report):
    write_report("SELECT 1 AS one")
    response = admin_client.get(CSV)
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == f'attachment; filename="probe_{datetime.now(UTC):%Y-%m-%d}.csv"'
    assert csv_of(response) == [["one"], ["1"]]


def test_the_download_has_all_rows_in_the_order_of_the_page(admin_client, write_report):
    write_report("SELECT generate_series(1, 5000) AS n", header="rows = 10\n")
    rows = csv_of(admin_client.get(CSV, {"sort": "-n", "page": "3", "run": "1"}))
    assert (len(rows), rows[1]) == (5001, ["5000"])


def test_the_download_uses_the_parameters(admin_client, write_report):
    write_report("SELECT %(text)s AS text", header='[parameters.text]\ntype = "text"\n')
    assert csv_of(admin_client.get(CSV, {"text": "Ünï & co"})) == [["text"], ["Ünï & co"]]


def test_formulas_are_text_in_the_download(admin_client, write_report):
    write_report("""SELECT '=HYPERLINK("http://x")' AS text, -5.5 AS number""")
    assert csv_of(admin_client.get(CSV)) == [["text", "number"], ['\'=HYPERLINK("http://x")', "-5.5"]]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_an_error_before_the_first_row_is_a_page(admin_client, write_report, extension):
    write_report("SELECT nope")
    response = admin_client.get(f"{LIST}probe.{extension}")
    assert response.status_code == 422
    assert response["Content-Type"].startswith("text/html")
    assert "Content-Disposition" not in response
    assert "column &quot;nope&quot; does not exist" in text_of(response)
    assert ReportRun.objects.get().outcome == "error"


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_an_error_in_the_first_row_is_a_page(admin_client, write_report, extension):
    write_report("SELECT 1 / (n - 1) AS x FROM generate_series(1, 3) AS n")
    response = admin_client.get(f"{LIST}probe.{extension}")
    assert response.status_code == 422
    assert "division by zero" in text_of(response)


def test_a_result_that_does_not_fit_the_format_is_not_to_be_tried_again(admin_client, write_report):
    write_report("SELECT repeat('x', 40000) AS text")
    response = admin_client.get(f"{LIST}probe.xlsx")
    assert response.status_code == 422
    assert "32,767" in text_of(response)


def test_a_failed_assertion_is_not_to_be_tried_again(admin_client, write_report):
    write_report("SELECT 1 AS n", header='[[assertions]]\nexpression = "MIN(n) > 1"\nmessage = "There is a one."\n')
    response = admin_client.get(CSV)
    assert response.status_code == 409
    assert "There is a one." in text_of(response)


def test_a_cancelled_run_is_not_to_be_tried_again(admin_client, write_report):
    write_report("SELECT pg_cancel_backend(pg_backend_pid())::text AS n, pg_sleep(5)::text AS m")
    response = admin_client.get(CSV)
    assert response.status_code == 409
    assert "The run was cancelled." in text_of(response)


def test_a_slow_report_may_be_tried_again(admin_client, write_report):
    write_report("SELECT pg_sleep(5)::text AS slept", header='timeout = "1s"\n')
    assert admin_client.get(CSV).status_code == 503


@pytest.mark.parametrize("sort", ["nope", "-nope", '"', "n; DROP TABLE country", "%s", "\0"])
def test_sorting_by_an_unknown_column_is_a_bad_request(admin_client, write_report, sort):
    write_report("SELECT 1 AS n")
    response = admin_client.get(CSV, {"sort": sort})
    assert response.status_code == 400
    assert "column" in text_of(response)


def test_an_error_after_the_first_rows_breaks_the_download(admin_client, write_report):
    write_report("SELECT 1 / (50000 - n) AS x FROM generate_series(1, 90000) AS n")
    response = admin_client.get(CSV)
    assert response.status_code == 200
    with pytest.raises(ReportFailed):
        response.getvalue()
    assert ReportRun.objects.get().outcome == "error"


def test_closing_a_streaming_download_cancels_its_run(admin_client, write_report):
    write_report("SELECT generate_series(1, 1000000000) AS n")
    response = admin_client.get(CSV)
    assert next(iter(response)).startswith(b"n\n")
    response.close()
    run = ReportRun.objects.get()
    assert run.outcome == "cancelled"
    assert run.bytes > 0
