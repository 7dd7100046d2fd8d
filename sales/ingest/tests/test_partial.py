"""POST /ingest: good events taken and bad ones kept apart (on_error=skip), and rehearsals (dry_run)."""

import json

import pytest

from sales.models import EventId, RejectedEvent, Sale
from sales.totals import feedback
from salesengine.tests.clients import post, problem_of

pytestmark = pytest.mark.django_db

NDJSON = "application/x-ndjson"


class TestSkipping:
    def test_the_good_are_stored_and_the_bad_are_listed(self, api, event):
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

    def test_all_good_is_201(self, api, event):
        response = post(api, [event, event], query="?on_error=skip")

        assert response.status_code == 201
        assert response.json() == {"accepted": 2, "duplicate": 0, "rejected": 0, "errors": []}

    @pytest.mark.parametrize("number", [1, 2])
    def test_all_bad_is_still_207_and_they_are_kept(self, api, event, number):
        response = post(api, [{}] * number, query="?on_error=skip")

        assert (response.status_code, response.json()["accepted"], response.json()["rejected"]) == (207, 0, number)
        assert RejectedEvent.objects.count() == number

    def test_a_single_event_is_counted_too(self, api, event):
        assert post(api, event, query="?on_error=skip").json()["accepted"] == 1
        response = post(api, event | {"REVENUE": None}, query="?on_error=skip")
        assert (response.status_code, response.json()["rejected"]) == (207, 1)

    def test_the_rejected_are_kept_as_they_came(self, api, event):
        bad = '{ "ID_ORDER": "1\\u0032",   "REVENUE":1.50 }'
        post(api, f"[{json.dumps(event)},\n {bad}]", query="?on_error=skip", **{"X-Request-ID": "order-5"})

        kept = RejectedEvent.objects.get()
        assert bytes(kept.content).decode() == bad
        assert (kept.sender, kept.source, kept.position) == ("anonymous", "order-5", 1)
        assert kept.reason == "ID_PRODUCT is required"
        assert {"pointer": "/DATE_PAYMENT", "detail": "is required"} in kept.errors

    def test_a_line_that_is_not_even_json_is_kept_as_it_came(self, api, event):
        body = json.dumps(event).encode() + b'\n\n{"ID_ORDER": \xff\x00\r\n'
        response = post(api, body, NDJSON, query="?on_error=skip")

        assert response.json()["accepted"] == 1
        assert [(each["index"], each["line"]) for each in response.json()["errors"]] == [(1, 3)]
        kept = RejectedEvent.objects.get()
        assert (bytes(kept.content), kept.position) == (b'{"ID_ORDER": \xff\x00\r', 3)

    def test_a_field_that_comes_twice_rejects_its_event_only(self, api, event):
        double = json.dumps(event)[:-1] + ', "REVENUE": 1}'
        response = post(api, f"[{json.dumps(event)}, {double}]", query="?on_error=skip")

        assert (response.json()["accepted"], response.json()["rejected"]) == (1, 1)
        assert "Detected duplicate key" in response.json()["errors"][0]["errors"][0]["detail"]
        assert bytes(RejectedEvent.objects.get().content).decode() == double

    def test_a_body_that_is_not_json_at_all_is_refused(self, api):
        problem_of(post(api, "[{]", query="?on_error=skip"), 400, "invalid-event")

        assert not RejectedEvent.objects.exists()

    def test_very_many_mistakes_are_listed_by_the_first_of_each(self, api):
        response = post(api, [{}] * 2_000, query="?on_error=skip")

        errors = [each["errors"] for each in response.json()["errors"]]
        assert len(errors) == 2_000
        assert len(errors[0]) == 8
        assert len(errors[-1]) == 1
        assert RejectedEvent.objects.count() == 2_000

    def test_without_it_nothing_is_kept(self, api):
        post(api, [{}])
        post(api, [{}], query="?on_error=stop")

        assert not RejectedEvent.objects.exists()


class TestRehearsing:
    def test_what_would_be_taken_is_counted_and_not_stored(self, api, event):
        response = post(api, [event, event | {"EVENT_ID": "1"}], query="?dry_run=true")

        assert (response.status_code, response.json()) == (200, {"accepted": 2, "duplicate": 0, "rejected": 0})
        assert not Sale.objects.exists()
        assert not EventId.objects.exists()
        assert feedback.watermark().sales == 0

    def test_a_single_event_is_counted(self, api, event):
        assert post(api, event, query="?dry_run=true").json() == {"accepted": 1, "duplicate": 0, "rejected": 0}
        assert not Sale.objects.exists()

    def test_what_would_be_refused_is(self, api, event):
        problem_of(post(api, [event, {}], query="?dry_run=true"), 400, "invalid-event")

    def test_what_would_be_skipped_is_listed_and_not_kept(self, api, event):
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

    def test_false_is_for_real(self, api, event):
        assert post(api, event, query="?dry_run=false").status_code == 201


@pytest.mark.parametrize(
    ("query", "parameter", "words"),
    [
        ("?on_error=ignore", "on_error", "must be stop or skip"),
        ("?dry_run=yes", "dry_run", "must be true or false"),
        ("?dry_run=true&dry_run=true", "dry_run", "must be given once"),
        ("?dryrun=true", "dryrun", "is unknown; the parameters are on_error, dry_run"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(api, event, query, parameter, words):
    problem = problem_of(post(api, event, query=query), 400, "invalid-request")

    assert problem["errors"] == [{"parameter": parameter, "detail": words}]
    assert not Sale.objects.exists()
