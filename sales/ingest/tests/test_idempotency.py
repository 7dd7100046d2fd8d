"""Idempotency-Key: a retry stores nothing and returns the first response."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connection, transaction

from sales.ingest import idempotency
from sales.ingest.writer import record_sales
from sales.models import IdempotencyKey, RejectedEvent, Sale
from sales.tests.helpers import refusing, sale_event
from sales.totals import feedback
from salesengine.http.errors import InvalidInput
from salesengine.tests.clients import post, problem_of

KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


@pytest.mark.django_db
class TestReplays:
    @pytest.mark.parametrize("query", ["", "?on_error=skip"])
    @pytest.mark.parametrize("shape", ["object", "list", "mixed"])
    def test_a_retry_returns_the_first_response(self, api, event, shape, query):
        body = {"object": event, "list": [event, event], "mixed": [event, {}] if query else [event]}[shape]
        first = post(api, body, query=query, **KEY)
        stored = Sale.objects.count(), RejectedEvent.objects.count(), feedback.watermark().sales

        retry = post(api, body, query=query, **KEY)

        assert (retry.status_code, retry.content) == (first.status_code, first.content)
        assert "Idempotent-Replayed" not in first
        assert retry["Idempotent-Replayed"] == "true"
        assert retry["Content-Type"] == first["Content-Type"] == "application/json"
        assert (Sale.objects.count(), RejectedEvent.objects.count(), feedback.watermark().sales) == stored

    def test_the_same_key_with_another_body_is_an_error(self, api, event):
        post(api, event, **KEY)

        problem_of(post(api, event | {"REVENUE": 1}, **KEY), 422, "idempotency-key-reused")
        problem_of(post(api, [event], **KEY), 422, "idempotency-key-reused")
        problem_of(post(api, event, "application/x-ndjson", **KEY), 422, "idempotency-key-reused")
        problem_of(post(api, event, query="?on_error=skip", **KEY), 422, "idempotency-key-reused")
        assert Sale.objects.count() == 1

    def test_the_same_body_with_another_key_is_a_new_request(self, api, event):
        post(api, event, **KEY)

        assert post(api, event, **{"Idempotency-Key": "another"}).status_code == 201
        assert Sale.objects.count() == 2

    def test_an_error_is_not_stored(self, api, event):
        problem_of(post(api, event | {"REVENUE": "much"}, **KEY), 400, "invalid-event")

        assert post(api, event, **KEY).status_code == 201

    def test_a_conflict_is_not_stored(self, api, event):
        post(api, event | {"EVENT_ID": "1"})
        problem_of(post(api, event | {"EVENT_ID": "1", "BRAND": "x"}, **KEY), 409, "event-conflict")

        assert post(api, event | {"EVENT_ID": "2"}, **KEY).status_code == 201

    def test_a_dry_run_ignores_the_key(self, api, event):
        post(api, event, query="?dry_run=true", **KEY)

        assert not IdempotencyKey.objects.exists()
        assert post(api, event, **KEY).status_code == 201

    def test_senders_may_use_the_same_keys(self, api, event, admin_client):
        post(api, event, **KEY)

        body = json.dumps([event])
        assert admin_client.post("/ingest", body, content_type="application/json", headers=KEY).status_code == 201

    @pytest.mark.parametrize(
        ("header", "key"),
        [
            ("abc", "abc"),
            ('"abc"', "abc"),
            (r'"a\"b\\c d"', r'a"b\c d'),
            ("a" * 255, "a" * 255),
            ("a,b;c=1", "a,b;c=1"),
        ],
    )
    def test_a_key_may_be_quoted_as_in_the_draft_or_bare(self, header, key):
        assert idempotency.parse_key(header) == key

    @pytest.mark.parametrize("header", ["", '""', "a b", "é", "a" * 256, '"a', '"a"b"', "\x07", r'"\n"'])
    def test_an_invalid_key_is_an_error(self, header):
        with pytest.raises(InvalidInput, match="printable ASCII"):
            idempotency.parse_key(header)


@pytest.fixture
def first_request(transactional_db):
    """Start a first request that has claimed the key and is still running; call the fixture to end it."""
    claimed, end = threading.Event(), threading.Event()
    outcome = {}

    def work():
        claimed.set()
        assert end.wait(60)
        if "error" in outcome:
            raise outcome["error"]
        return idempotency.StoredResponse(201, b"first\n")

    def run():
        try:
            idempotency.respond_once("anonymous", "key", b"digest", work)
        except ZeroDivisionError:
            pass
        finally:
            connection.close()

    def finish(error=None):
        if error:
            outcome["error"] = error
        end.set()
        runner.join()

    runner = threading.Thread(target=run)
    runner.start()
    assert claimed.wait(60)
    yield finish
    finish()


def second_request():
    try:
        return idempotency.respond_once(
            "anonymous", "key", b"digest", lambda: idempotency.StoredResponse(201, b"second\n")
        )
    finally:
        connection.close()


class TestConcurrent:
    def test_a_retry_waits_and_returns_the_response_of_the_first_request(self, first_request):
        with ThreadPoolExecutor(1) as pool:
            second = pool.submit(second_request)
            with pytest.raises(TimeoutError):
                second.result(timeout=0.3)
            first_request()
            assert second.result(timeout=30) == idempotency.StoredResponse(201, b"first\n", is_replayed=True)

    def test_a_retry_does_the_work_when_the_first_request_fails(self, first_request):
        with ThreadPoolExecutor(1) as pool:
            second = pool.submit(second_request)
            first_request(ZeroDivisionError())
            assert second.result(timeout=30) == idempotency.StoredResponse(201, b"second\n")

    def test_the_limit_does_not_apply_to_other_locks(self, transactional_db, monkeypatch, event):
        monkeypatch.setattr(idempotency, "LOCK_TIMEOUT", "50ms")
        event_id, is_held = sale_event(EVENT_ID="e-1"), threading.Event()

        def hold():
            with transaction.atomic():
                record_sales([event_id])
                is_held.set()
                time.sleep(0.3)
            connection.close()

        def work():
            return idempotency.StoredResponse(200 + len(record_sales([event_id]).duplicates), b"")

        with ThreadPoolExecutor(1) as pool:
            holder = pool.submit(hold)
            assert is_held.wait(timeout=60)
            assert idempotency.respond_once("anonymous", "key", b"digest", work).status == 201
            holder.result()

    def test_a_retry_waits_no_longer_than_the_limit(self, first_request, monkeypatch, api, event):
        monkeypatch.setattr(idempotency, "LOCK_TIMEOUT", "100ms")

        response = post(api, event, **{"Idempotency-Key": "key"})

        problem_of(response, 409, "request-in-progress")
        assert int(response["Retry-After"]) > 0
        assert not Sale.objects.exists()

    def test_thirty_requests_at_once_store_one_sale(self, transactional_db, api, event):
        def send(_):
            try:
                return post(api, event, **KEY)
            finally:
                connection.close()

        with ThreadPoolExecutor(30) as pool:
            responses = list(pool.map(send, range(30)))

        assert {(response.status_code, response.content) for response in responses} == {(201, responses[0].content)}
        assert sum("Idempotent-Replayed" not in response for response in responses) == 1
        assert Sale.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_sales_are_committed_with_their_response_or_not_at_all():
    def work():
        record_sales([sale_event()])
        return idempotency.StoredResponse(201, b"")

    with refusing("idempotency_keys", "status IS NULL"), pytest.raises(IntegrityError):
        idempotency.respond_once("anonymous", "key", b"digest", work)

    assert not Sale.objects.exists()
