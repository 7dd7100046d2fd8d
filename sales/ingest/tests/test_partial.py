"""POST /ingest with on_error=skip, which keeps rejected events apart, and with dry_run."""

import json

import pytest

from sales.models import EventId, RejectedEvent, Sale
from sales.totals import feedback
from salesengine.tests.clients import post, problem_of

pytestmark = pytest.mark.django_db

NDJSON = "application/x-ndjson"


class TestSkipping:
    def test_valid_events_are_stored_and_invalid_ones_are_listed(self, api, event):
        response = post(api, [event, event | {"REVENUE": "much", "BRAND": 1}, event, 7], query="?on_error=skip")

        assert response.status_code == 207
        assert response.json() == {
            "accepted": 2,
            "duplicate": 0,
            "rejected": 2,
            "errors": [
                {
                    "index": 1,
                    "errors": [
                        {"pointer": "/BRAND", "detail": "must be text, in quotes"},
                        {"pointer": "/REVENUE", "detail": "must be a number, such as 57.27456"},
                    ],
                },
                {
                    "index": 3,
                    "errors": [{"pointer": "", "detail": "must be an object with the fields of a sale event"}],
                },
            ],
        }
        assert Sale.objects.count() == 2
        assert feedback.watermark().sales == 2

    def test_a_list_of_valid_events_returns_201(self, api, event):
        response = post(api, [event, event], query="?on_error=skip")

        assert response.status_code == 201
        assert response.json() == {"accepted": 2, "duplicate": 0, "rejected": 0, "errors": []}

    @pytest.mark.parametrize("number", [1, 2])
    def test_a_list_of_invalid_events_returns_207_and_keeps_them(self, api, event, number):
        response = post(api, [{}] * number, query="?on_error=skip")

        assert (response.status_code, response.json()["accepted"], response.json()["rejected"]) == (207, 0, number)
        assert RejectedEvent.objects.count() == number

    def test_a_single_event_returns_counts(self, api, event):
        assert post(api, event, query="?on_error=skip").json()["accepted"] == 1
        response = post(api, event | {"REVENUE": None}, query="?on_error=skip")
        assert (response.status_code, response.json()["rejected"]) == (207, 1)

    def test_rejected_events_are_kept_unchanged(self, api, event):
        invalid = '{ "ID_ORDER": "1\\u0032",   "REVENUE":1.50 }'
        post(api, f"[{json.dumps(event)},\n {invalid}]", query="?on_error=skip", **{"X-Request-ID": "order-5"})

        rejected = RejectedEvent.objects.get()
        assert bytes(rejected.content).decode() == invalid
        assert (rejected.sender, rejected.source, rejected.position) == ("anonymous", "order-5", 1)
        assert rejected.reason == "ID_PRODUCT is required"
        assert {"pointer": "/DATE_PAYMENT", "detail": "is required"} in rejected.errors

    def test_a_line_that_is_not_json_is_kept_unchanged(self, api, event):
        body = json.dumps(event).encode() + b'\n\n{"ID_ORDER": \xff\x00\r\n'
        response = post(api, body, NDJSON, query="?on_error=skip")

        assert response.json()["accepted"] == 1
        assert [(error["index"], error["line"]) for error in response.json()["errors"]] == [(1, 3)]
        rejected = RejectedEvent.objects.get()
        assert (bytes(rejected.content), rejected.position) == (b'{"ID_ORDER": \xff\x00\r', 3)

    def test_a_repeated_field_rejects_only_its_event(self, api, event):
        double = json.dumps(event)[:-1] + ', "REVENUE": 1}'
        response = post(api, f"[{json.dumps(event)}, {double}]", query="?on_error=skip")

        assert (response.json()["accepted"], response.json()["rejected"]) == (1, 1)
        assert "Detected duplicate key" in response.json()["errors"][0]["errors"][0]["detail"]
        assert bytes(RejectedEvent.objects.get().content).decode() == double

    def test_a_body_that_is_not_json_is_rejected_as_a_whole(self, api):
        problem_of(post(api, "[{]", query="?on_error=skip"), 400, "invalid-event")

        assert not RejectedEvent.objects.exists()

    def test_a_great_many_errors_are_listed_by_the_first_of_each_event(self, api):
        response = post(api, [{}] * 2_000, query="?on_error=skip")

        errors = [event["errors"] for event in response.json()["errors"]]
        assert response.json()["rejected"] == RejectedEvent.objects.count() == 2_000
        assert len(errors) == 1_000
        assert len(errors[0]) == 8
        assert len(RejectedEvent.objects.latest("id").errors) == 1

    def test_without_skip_no_rejected_event_is_kept(self, api):
        post(api, [{}])
        post(api, [{}], query="?on_error=stop")

        assert not RejectedEvent.objects.exists()


class TestDryRuns:
    def test_valid_events_are_counted_and_not_stored(self, api, event):
        response = post(api, [event, event | {"EVENT_ID": "1"}], query="?dry_run=true")

        assert (response.status_code, response.json()) == (200, {"accepted": 2, "duplicate": 0, "rejected": 0})
        assert not Sale.objects.exists()
        assert not EventId.objects.exists()
        assert feedback.watermark().sales == 0

    def test_a_single_event_is_counted(self, api, event):
        assert post(api, event, query="?dry_run=true").json() == {"accepted": 1, "duplicate": 0, "rejected": 0}
        assert not Sale.objects.exists()

    def test_invalid_events_are_rejected(self, api, event):
        problem_of(post(api, [event, {}], query="?dry_run=true"), 400, "invalid-event")

    def test_skipped_events_are_listed_and_not_kept(self, api, event):
        response = post(api, [event, 7], query="?dry_run=true&on_error=skip")

        assert (response.status_code, response.json()["rejected"]) == (200, 1)
        assert response.json()["errors"][0]["index"] == 1
        assert not RejectedEvent.objects.exists()

    def test_duplicates_and_conflicts_are_found(self, api, event):
        post(api, event | {"EVENT_ID": "1"})
        again = [event | {"EVENT_ID": "1"}, event | {"EVENT_ID": "1", "REVENUE": 1}]

        response = post(api, again, query="?dry_run=true&on_error=skip")

        assert response.json() | {"errors": []} == {"accepted": 0, "duplicate": 1, "rejected": 1, "errors": []}
        problem_of(post(api, again, query="?dry_run=true"), 409, "event-conflict")

    def test_dry_run_false_stores_the_event(self, api, event):
        assert post(api, event, query="?dry_run=false").status_code == 201


@pytest.mark.parametrize(
    ("query", "parameter", "message"),
    [
        ("?on_error=ignore", "on_error", "must be stop or skip"),
        ("?dry_run=yes", "dry_run", "must be true or false"),
        ("?dry_run=true&dry_run=true", "dry_run", "must be given once"),
        ("?dryrun=true", "dryrun", "is unknown; the parameters are on_error, dry_run"),
    ],
)
def test_an_invalid_parameter_is_rejected(api, event, query, parameter, message):
    problem = problem_of(post(api, event, query=query), 400, "invalid-request")

    assert problem["errors"] == [{"parameter": parameter, "detail": message}]
    assert not Sale.objects.exists()
