"""GET /reports/{name} returns rows in the requested format, with headers that describe them."""

import pytest

from analytics.api import responses
from analytics.api.tests.helpers import content, get, rows
from analytics.models import ReportRun
from salesengine.tests.clients import problem_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@pytest.fixture(autouse=True)
def report(write_report):
    return write_report("SELECT 'a, \"b\"' AS text, 0.10000000000000000001::numeric AS exact, NULL AS nothing")


def test_numbers_in_json_are_exact(api):
    response = get(api)

    assert response["Content-Type"] == "application/json"
    assert "Content-Disposition" not in response
    assert content(response) == b'[\n{"text":"a, \\"b\\"","exact":0.10000000000000000001,"nothing":null}\n]\n'


def test_csv_is_an_attachment(api):
    response = get(api, {"format": "csv"})

    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == 'attachment; filename="probe.csv"'
    assert content(response) == b'text,exact,nothing\n"a, ""b""",0.10000000000000000001,\n'


@pytest.mark.parametrize(
    ("name", "media_type", "start"),
    [
        ("json", "application/json", b"["),
        ("ndjson", "application/x-ndjson", b"{"),
        ("markdown", "text/markdown; charset=utf-8", b"|"),
        ("table", "text/plain; charset=utf-8", b" "),
        ("xlsx", XLSX, b"PK"),
        ("parquet", "application/vnd.apache.parquet", b"PAR1"),
    ],
)
def test_a_format_is_chosen_by_name_or_by_accept(api, name, media_type, start):
    by_name = get(api, {"format": name}, Accept="text/html")
    by_accept = get(api, Accept=media_type)

    assert by_name["Content-Type"] == by_accept["Content-Type"] == media_type
    assert content(by_name).startswith(start)
    assert content(by_accept).startswith(start)
    assert by_name["Vary"].startswith("Accept, Authorization, Cookie")


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV", "text/csv"),
        ("text/csv; charset=utf-8", "text/csv"),
        ("text/*", "text/csv"),
        ("text/csv;q=0.5, application/x-ndjson", "application/x-ndjson"),
        ("text/csv, */*;q=0.1", "text/csv"),
        ("application/json;q=0.1, */*;q=0.5", "text/csv"),
        ("application/json;q=0, text/csv;q=0, */*", "application/x-ndjson"),
        ("application/json, text/csv", "application/json"),
    ],
)
def test_the_most_specific_range_of_accept_wins(api, accept, media_type):
    assert get(api, Accept=accept)["Content-Type"].partition(";")[0] == media_type


@pytest.mark.parametrize("accept", ["text/html", "application/pdf, image/*", "text/csv;q=0", "nonsense"])
def test_an_unacceptable_format_is_406_and_nothing_runs(api, accept):
    assert "text/csv" in problem_of(get(api, Accept=accept), 406, "not-acceptable")["detail"]
    assert not ReportRun.objects.exists()


def test_a_formula_stays_unchanged_in_csv(api, write_report):
    write_report("SELECT '=1+1' AS formula")

    assert content(get(api, {"format": "csv"})) == b"formula\n=1+1\n"


@pytest.mark.parametrize(("limit", "count", "truncated"), [(4, 4, "true"), (5, 5, "false"), (6, 5, "false")])
@pytest.mark.parametrize("name", ["json", "csv", "xlsx", "parquet"])
def test_headers_have_the_number_of_rows_and_whether_it_is_truncated(api, write_report, name, limit, count, truncated):
    write_report("SELECT n FROM generate_series(1, 5) AS n")
    response = get(api, {"limit": limit, "format": name})

    assert (response["Report-Rows"], response["Report-Row-Limit"]) == (str(count), str(limit))
    assert response["Report-Truncated"] == truncated
    assert response["Content-Length"] == str(len(content(response)))


def test_the_default_limit_is_ten_thousand_rows(api, write_report):
    write_report("SELECT n FROM generate_series(1, 10001) AS n")
    response = get(api)

    assert (response["Report-Row-Limit"], response["Report-Truncated"]) == ("10000", "true")
    assert rows(response)[-1] == {"n": 10_000}


def test_an_empty_result_is_a_response(api, write_report):
    write_report("SELECT 1 AS one WHERE false")
    response = get(api)

    assert (response["Report-Rows"], rows(response)) == ("0", [])


def test_a_large_response_goes_through_a_file_that_is_closed_afterwards(api, write_report, monkeypatch):
    files = []

    class RecordedFile(responses.SpooledTemporaryFile):
        def __init__(self, *args):
            super().__init__(*args)
            files.append(self)

        def rollover(self):
            super().rollover()
            self.was_rolled_over = True

    monkeypatch.setattr(responses, "SpooledTemporaryFile", RecordedFile)
    write_report("SELECT n, repeat('x', 1000) AS text FROM generate_series(1, 3000) AS n")
    response = get(api, {"format": "csv"})

    assert len(content(response)) == int(response["Content-Length"]) > 3_000_000
    assert files[0].was_rolled_over
    assert files[0].closed


def test_shared_caches_must_not_store_a_response(api):
    assert get(api)["Cache-Control"] == "private, no-cache"
