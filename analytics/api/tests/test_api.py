"""GET /reports and GET /reports/{name}: which reports there are, and their rows: all of them, or an error."""

import json
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import connections
from rest_framework.test import APIClient

from analytics.api import responses as answers
from analytics.models import ReportRun
from salesengine.accounts.api_keys import create_key
from salesengine.tests.clients import problem_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ALL_TYPES = """
[parameters.day]
type = "date"
default = "2021-01-07"
[parameters.moment]
type = "datetime"
[parameters.number]
type = "integer"
default = 5
minimum = 1
maximum = 9
[parameters.share]
type = "decimal"
default = 0.25
[parameters.words]
type = "text"
[parameters.size]
type = "choice"
choices = ["small", "large"]
help = "How large it is."
[parameters.category]
type = "category"
[parameters.country]
type = "country"
[parameters.sure]
type = "boolean"
default = true
[parameters.needed]
type = "text"
required = true
"""
ALL_VALUES = """SELECT %(day)s AS day, %(moment)s AS moment, %(number)s AS number, %(share)s AS share,
    %(words)s AS words, %(size)s AS size, %(category)s AS category, %(country)s AS country, %(sure)s AS sure,
    %(needed)s AS needed"""
WORDS = '[parameters.words]\ntype = "text"\n'


class Client(APIClient):
    """Reads each answer to its end and closes it, as a server does."""

    def request(self, **request):
        response = super().request(**request)
        if response.streaming:
            response.body = b"".join(response.streaming_content)
            response.close()
        return response


@pytest.fixture
def api():
    return Client()


def get(api, parameters=None, name="probe", **headers):
    return api.get(f"/reports/{name}", parameters, headers=headers)


def content(response):
    assert response.status_code == 200, response.content
    return response.body


def rows(response):
    return json.loads(content(response), parse_float=Decimal)


def errors_of(response):
    return {error["parameter"]: error["detail"] for error in problem_of(response, 400, "invalid-request")["errors"]}


def with_key(*scopes):
    client = Client()
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {create_key('shop', scopes)}")
    return client


class TestTheList:
    def test_it_says_all_of_each_report(self, api, write_report):
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

    def test_a_file_that_cannot_be_used_is_left_out(self, api, write_report, sql_dir):
        write_report("SELECT 1 AS one")
        (sql_dir / "broken.sql").write_text("SELECT 1")

        assert [report["name"] for report in api.get("/reports").json()] == ["probe"]

    def test_there_is_nothing_to_ask(self, api, sql_dir):
        assert errors_of(api.get("/reports", {"topic": "Other"})).keys() == {"topic"}


class TestWhoMay:
    @pytest.fixture(autouse=True)
    def keys_are_needed(self, settings, write_report):
        settings.API_KEY_REQUIRED = True
        write_report("SELECT 1 AS one")

    @pytest.mark.parametrize("address", ["/reports", "/reports/probe"])
    def test_a_key_needs_the_scope_reports(self, address):
        assert with_key("reports").get(address).status_code == 200
        detail = problem_of(with_key("read", "ingest").get(address), 403, "not-allowed")["detail"]
        assert detail == "This requires an API key with the scope reports; yours has read, ingest."

    @pytest.mark.parametrize("address", ["/reports", "/reports/probe"])
    def test_nobody_else_gets_in_but_staff(self, api, address):
        problem_of(api.get(address, headers={"Accept": "text/csv, application/json"}), 401, "not-authenticated")
        api.force_authenticate(User(username="u", is_staff=True))
        assert api.get(address).status_code == 200
        assert ReportRun.objects.filter(sender="user:u").exists() == (address == "/reports/probe")

    def test_the_log_has_who_asked_for_what_and_got_how_much(self):
        response = with_key("reports").get("/reports/probe?format=csv")

        run = ReportRun.objects.get()
        assert (run.report, run.channel, run.sender, run.format, run.outcome) == ("probe", "api", "shop", "csv", "ok")
        assert (run.rows, run.bytes) == (1, len(content(response)))


class TestParameters:
    def test_values_come_as_they_are_given(self, api, write_report):
        write_report(ALL_VALUES, header=ALL_TYPES)
        given = {
            "day": "2021-02-28",
            "moment": "2021-01-07T01:09:24+01:00",
            "number": "9",
            "share": "0.10000000000000000001",
            "words": "a",
            "size": "large",
            "category": "shoes",
            "country": "170",
            "sure": "false",
            "needed": "x",
        }
        assert rows(get(api, given)) == [
            given
            | {
                "moment": "2021-01-07T00:09:24Z",
                "number": 9,
                "share": Decimal("0.10000000000000000001"),
                "sure": False,
            }
        ]

    def test_what_is_left_out_has_its_default_and_what_is_empty_no_value(self, api, write_report):
        write_report(ALL_VALUES, header=ALL_TYPES)
        [row] = rows(get(api, {"needed": "x", "number": ""}))

        assert (row["day"], row["number"], row["sure"], row["size"]) == ("2021-01-07", None, True, None)

    BAD = {
        "day": "2021-02-30",
        "moment": "noon",
        "number": "10",
        "share": "1e3",
        "words": "a\0b",
        "size": "medium",
        "category": "sofas",
        "country": "1" * 65,
        "sure": "yes",
        "needed": "",
        "limit": "0",
        "format": "pdf",
        "sort": "day",
    }

    def test_every_bad_one_is_named_at_once_and_nothing_is_run(self, api, write_report):
        write_report(ALL_VALUES, header=ALL_TYPES)
        errors = errors_of(get(api, self.BAD))

        assert errors.keys() == self.BAD.keys()
        assert errors["number"] == "must be at most 9"
        assert errors["needed"] == "must be given"
        assert errors["sort"].startswith("is not known here; there are day, moment,")
        assert errors["sort"].endswith(", format, limit")
        assert not ReportRun.objects.exists()

    @pytest.mark.parametrize("name", BAD)
    def test_each_bad_one_is_refused_alone(self, api, write_report, name):
        write_report(ALL_VALUES, header=ALL_TYPES)

        assert errors_of(get(api, {"needed": "x"} | {name: self.BAD[name]})).keys() == {name}

    @pytest.mark.parametrize("name", ["needed", "format", "limit", "unknown"])
    def test_one_that_is_given_twice_is_refused(self, api, write_report, name):
        write_report(ALL_VALUES, header=ALL_TYPES)

        assert errors_of(get(api, {"needed": "x"} | {name: ["1", "1"]}))[name] == "must be given once"

    @pytest.mark.parametrize("limit", ["-1", "0", "1000001", "1e3", "", "ten", "٣", "9" * 5_000])
    def test_a_limit_that_cannot_be_is_refused(self, api, write_report, limit):
        write_report("SELECT 1 AS one")

        assert errors_of(get(api, {"limit": limit})) == {"limit": "must be a whole number from 1 to 1000000"}

    @pytest.mark.parametrize(
        "text",
        [
            "'; DROP TABLE sales; --",
            '"quotes" and \\ and \\\'',
            "/* comment */ -- comment",
            "100 % %s %(words)s %%",
            "$1 $$ {0}",
            "two\nlines\r\n\ttabs",
            "🙂 \u202e ﷽",
            "a" * 1_000_000,
        ],
        ids=lambda text: text[:10],
    )
    def test_hostile_text_is_a_value(self, api, write_report, text):
        write_report("SELECT %(words)s AS words, '%%s' AS percent", header=WORDS)

        assert rows(get(api, {"words": text})) == [{"words": text, "percent": "%%s"}]


class TestFormats:
    @pytest.fixture(autouse=True)
    def report(self, write_report):
        return write_report("SELECT 'a, \"b\"' AS text, 0.10000000000000000001::numeric AS exact, NULL AS nothing")

    def test_json_is_exact(self, api):
        response = get(api)

        assert response["Content-Type"] == "application/json"
        assert "Content-Disposition" not in response
        assert content(response) == b'[\n{"text":"a, \\"b\\"","exact":0.10000000000000000001,"nothing":null}\n]\n'

    def test_csv_is_a_file_to_save(self, api):
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
    def test_each_is_chosen_by_name_or_by_accept(self, api, name, media_type, start):
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
    def test_accept_is_respected(self, api, accept, media_type):
        assert get(api, Accept=accept)["Content-Type"].partition(";")[0] == media_type

    @pytest.mark.parametrize("accept", ["text/html", "application/pdf, image/*", "text/csv;q=0", "nonsense"])
    def test_what_is_not_acceptable_is_said_and_not_run(self, api, accept):
        assert "text/csv" in problem_of(get(api, Accept=accept), 406, "not-acceptable")["detail"]
        assert not ReportRun.objects.exists()

    def test_what_a_spreadsheet_would_run_is_left_as_it_is(self, api, write_report):
        write_report("SELECT '=1+1' AS formula")

        assert content(get(api, {"format": "csv"})) == b"formula\n=1+1\n"


class TestRows:
    @pytest.mark.parametrize(("limit", "count", "truncated"), [(4, 4, "true"), (5, 5, "false"), (6, 5, "false")])
    @pytest.mark.parametrize("name", ["json", "csv", "xlsx", "parquet"])
    def test_headers_say_how_many_there_are_and_whether_these_are_all(
        self, api, write_report, name, limit, count, truncated
    ):
        write_report("SELECT n FROM generate_series(1, 5) AS n")
        response = get(api, {"limit": limit, "format": name})

        assert (response["Report-Rows"], response["Report-Row-Limit"]) == (str(count), str(limit))
        assert response["Report-Truncated"] == truncated
        assert response["Content-Length"] == str(len(content(response)))

    def test_without_a_limit_there_are_ten_thousand(self, api, write_report):
        write_report("SELECT n FROM generate_series(1, 10001) AS n")
        response = get(api)

        assert (response["Report-Row-Limit"], response["Report-Truncated"]) == ("10000", "true")
        assert rows(response)[-1] == {"n": 10_000}

    def test_no_rows_are_an_answer(self, api, write_report):
        write_report("SELECT 1 AS one WHERE false")
        response = get(api)

        assert (response["Report-Rows"], rows(response)) == ("0", [])

    def test_many_rows_go_through_a_file_that_is_gone_afterwards(self, api, write_report, monkeypatch):
        files = []

        class Noted(answers.SpooledTemporaryFile):
            def __init__(self, *args):
                super().__init__(*args)
                files.append(self)

            def rollover(self):
                super().rollover()
                self.was_rolled_over = True

        monkeypatch.setattr(answers, "SpooledTemporaryFile", Noted)
        write_report("SELECT n, repeat('x', 1000) AS text FROM generate_series(1, 3000) AS n")
        response = get(api, {"format": "csv"})

        assert len(content(response)) == int(response["Content-Length"]) > 3_000_000
        assert files[0].was_rolled_over
        assert files[0].closed

    def test_an_answer_may_be_kept_by_its_reader_only(self, api, write_report):
        write_report("SELECT 1 AS one")

        assert get(api)["Cache-Control"] == "private, no-cache"


class TestFailures:
    def outcome(self):
        return ReportRun.objects.latest("id").outcome

    def test_an_unknown_report_is_answered_with_those_there_are(self, api, write_report):
        write_report("SELECT 1 AS one")
        detail = problem_of(get(api, name="other"), 404, "not-found")["detail"]

        assert detail == "There is no report 'other'. The reports are: probe."

    @pytest.mark.parametrize("name", ["..%2Fprobe", "probe.sql", "Probe", "probe%0A", "probe/", "%00"])
    def test_no_other_name_leads_to_a_file(self, api, write_report, name):
        write_report("SELECT 1 AS one")

        problem_of(get(api, name=name), 404, "not-found")

    def test_a_file_that_cannot_be_used_is_not_found_and_why(self, api, sql_dir):
        (sql_dir / "broken.sql").write_text("SELECT 1")
        detail = problem_of(get(api, name="broken"), 404, "not-found")["detail"]

        assert "until its file is mended: broken.sql, line 1: must begin with" in detail

    def test_what_the_database_refuses_is_told_in_its_words(self, api, write_report):
        write_report("SELECT colour FROM sales")
        detail = problem_of(get(api), 422, "report-failed")["detail"]

        assert 'probe.sql: column "colour" does not exist' in detail
        assert self.outcome() == "error"

    @pytest.mark.parametrize("name", ["json", "csv", "xlsx"])
    def test_what_fails_in_the_last_row_is_an_error_from_the_first(self, api, write_report, name):
        write_report("SELECT 1 / (5000 - n) AS n FROM generate_series(1, 5000) AS n")
        detail = problem_of(get(api, {"format": name}), 422, "report-failed")["detail"]

        assert "division by zero" in detail
        assert self.outcome() == "error"

    def test_what_takes_too_long_is_ended(self, api, write_report):
        write_report("SELECT pg_sleep(5)::text AS slept", header='timeout = "1s"\n')
        detail = problem_of(get(api), 503, "took-too-long")["detail"]

        assert "This run may take 1 seconds" in detail
        assert self.outcome() == "timed out"

    def test_a_result_that_is_not_as_it_must_be_is_not_given_out(self, api, write_report):
        check = '[[assertions]]\nexpression = "MIN(n) > 1"\nmessage = "There is a one."\n'
        write_report("SELECT 1 AS n", header=check)
        detail = problem_of(get(api), 409, "report-check-failed")["detail"]

        assert detail == "probe.sql: the result is not as it must be. There is a one."
        assert self.outcome() == "failed assertion"

    def test_a_warning_is_a_header_of_one_line_in_ascii(self, api, write_report):
        check = '[[assertions]]\nrows = ">= 2"\nseverity = "warn"\nmessage = """Trop peu 0 € de 100 %\nof them"""\n'
        write_report("SELECT 1 AS n", header=check)
        response = get(api)

        assert response["Report-Warnings"] == "Trop peu 0 %E2%82%AC de 100 %25%0Aof them"
        assert rows(response) == [{"n": 1}]

    def test_a_long_warning_is_cut(self, api, write_report):
        check = f'[[assertions]]\nrows = ">= 2"\nseverity = "warn"\nmessage = "{"x" * 5_000}"\n'
        write_report("SELECT 1 AS n", header=check)

        assert get(api)["Report-Warnings"] == "x" * 300 + "..."

    def test_without_warnings_there_is_no_such_header(self, api, write_report):
        write_report("SELECT 1 AS n")

        assert "Report-Warnings" not in get(api)

    def test_a_database_that_cannot_be_reached_is_away_for_a_while(self, api, write_report, monkeypatch):
        write_report("SELECT 1 AS n")
        connections["reports"].close()
        monkeypatch.setitem(connections["reports"].settings_dict, "HOST", "/nowhere")
        response = get(api)

        problem_of(response, 503, "database-unavailable")
        assert response["Retry-After"] == "5"

    def test_a_connection_that_is_ended_is_a_database_that_is_away(self, api, write_report):
        write_report("SELECT pg_terminate_backend(pg_backend_pid())")

        problem_of(get(api), 503, "database-unavailable")

    def test_a_value_that_does_not_fit_into_the_format_is_told(self, api, write_report):
        write_report("SELECT repeat('x', 40000) AS text")

        assert "32,767" in problem_of(get(api, {"format": "xlsx"}), 422, "report-failed")["detail"]
        assert get(api, {"format": "csv"}).status_code == 200

    def test_nothing_can_be_written(self, api, write_report):
        write_report("SELECT nextval('sales_id_seq') AS n")

        assert "read-only" in problem_of(get(api), 422, "report-failed")["detail"]

    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    def test_a_report_is_only_read(self, api, write_report, method):
        write_report("SELECT 1 AS one")

        problem_of(getattr(api, method)("/reports/probe"), 405, "method-not-allowed")


class TestHead:
    def test_it_says_what_it_can_and_runs_nothing(self, api, write_report):
        write_report("SELECT COUNT(*) AS sales FROM sales")
        head = api.head("/reports/probe?format=csv")

        assert (head.status_code, head.body) == (200, b"")
        assert "Content-Length" not in head
        assert not ReportRun.objects.exists()
        response = get(api, {"format": "csv"})
        for name in ("Content-Type", "Content-Disposition", "ETag", "Cache-Control", "Vary"):
            assert head[name] == response[name]

    def test_a_known_answer_is_not_modified(self, api, write_report):
        write_report("SELECT COUNT(*) AS sales FROM sales")
        etag = get(api)["ETag"]

        assert api.head("/reports/probe", headers={"If-None-Match": etag}).status_code == 304

    def test_what_is_wrong_is_told(self, api, write_report):
        write_report("SELECT colour FROM sales")

        assert api.head("/reports/probe?colour=red").status_code == 400
        assert api.head("/reports/probe").status_code == 422
        assert api.head("/reports/other").status_code == 404
