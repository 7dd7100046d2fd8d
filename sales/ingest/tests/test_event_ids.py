"""EVENT_ID: retries and concurrent requests store a sender's event once."""

import json
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.db import connection, transaction

from sales.ingest.writer import COPY_THRESHOLD, content_digest, record_sales
from sales.models import EventId, Sale
from sales.tests.helpers import sale_event
from sales.totals import feedback, verification
from sales.totals.ledger import Origin
from sales.totals.tests.threads import someone_waits
from salesengine.tests.clients import post, problem_of
from salesengine.tests.servers import wait_until

CLAIM = "INSERT INTO event_ids (event_id, sender, sale_id, digest) VALUES (%s, 'anonymous', 0, '')"


@pytest.mark.django_db
class TestOverHTTP:
    def test_an_event_sent_again_is_a_duplicate(self, api, event):
        first = post(api, event | {"EVENT_ID": "e-1"})
        again = post(api, event | {"EVENT_ID": "e-1"})

        assert (first.status_code, again.status_code) == (201, 200)
        assert again.json() == first.json()
        assert first.json()["EVENT_ID"] == Sale.objects.get().event_id == "e-1"
        assert feedback.watermark().sales == 1

    def test_the_same_content_in_another_notation_is_a_duplicate(self, api, event):
        post(api, event | {"EVENT_ID": "e-1", "REVENUE": "1.50", "BRAND": None})
        del event["BRAND"]
        again = post(api, event | {"EVENT_ID": "e-1", "REVENUE": 1.5, "DATE_PAYMENT": "2021-01-07T01:09:24+01:00"})

        assert again.status_code == 200

    @pytest.mark.parametrize(
        "change",
        [{"REVENUE": "57.27457"}, {"BRAND": None}, {"CATEGORY": "shoes"}, {"DATE_PAYMENT": "2021-01-07T00:09:25Z"}],
    )
    def test_other_content_is_a_conflict(self, api, event, change):
        post(api, event | {"EVENT_ID": "e-1"})
        response = post(api, event | change | {"EVENT_ID": "e-1"})

        errors = [{"pointer": "/EVENT_ID", "detail": "was sent before with other content"}]
        assert problem_of(response, 409, "event-conflict")["errors"] == errors
        assert Sale.objects.count() == 1

    def test_one_conflict_rejects_the_whole_list(self, api, event):
        post(api, event | {"EVENT_ID": "e-1"})
        response = post(api, [event | {"EVENT_ID": "e-0"}, event, event | {"EVENT_ID": "e-1", "BRAND": "x"}])

        assert problem_of(response, 409, "event-conflict")["errors"][0]["pointer"] == "/2/EVENT_ID"
        assert Sale.objects.count() == EventId.objects.count() == feedback.watermark().sales == 1

    @pytest.mark.parametrize("options", ["", "?on_error=skip"])
    def test_a_conflict_within_a_request_names_the_other_event(self, api, event, options):
        batch = [{}, event | {"EVENT_ID": "e-1"}, event | {"EVENT_ID": "e-1", "BRAND": "x"}]
        events = batch if options else batch[1:]
        body = "\n\n".join(map(json.dumps, events))
        as_list = api.post(f"/ingest{options}", events, format="json").json()["errors"][-1]
        Sale.objects.all().delete()
        EventId.objects.all().delete()
        as_lines = api.post(f"/ingest{options}", body, content_type="application/x-ndjson").json()["errors"][-1]

        details = [error["errors"][0]["detail"] if options else error["detail"] for error in (as_list, as_lines)]
        assert details == [
            f"was sent twice with different content: see the event /{1 if options else 0}",
            f"was sent twice with different content: see the event in line {3 if options else 1}",
        ]

    def test_a_list_is_stored_without_its_duplicates(self, api, event):
        post(api, event | {"EVENT_ID": "e-1"})
        response = post(api, [event | {"EVENT_ID": f"e-{number}"} for number in (0, 1, 2)] + [event])

        assert (response.status_code, response.json()) == (201, {"accepted": 3, "duplicate": 1, "rejected": 0})
        assert feedback.watermark().sales == Sale.objects.count() == 4

    def test_a_list_of_duplicates_returns_200(self, api, event):
        events = [event | {"EVENT_ID": "e-1"}, event | {"EVENT_ID": "e-2"}]
        post(api, events)

        response = post(api, events)

        assert (response.status_code, response.json()) == (200, {"accepted": 0, "duplicate": 2, "rejected": 0})

    def test_an_id_repeated_in_a_list_is_stored_once(self, api, event):
        response = post(api, [event | {"EVENT_ID": "e-1"}] * 3)

        assert response.json() == {"accepted": 1, "duplicate": 2, "rejected": 0}
        assert Sale.objects.count() == feedback.watermark().sales == 1

    def test_an_id_repeated_in_a_list_with_other_content_is_a_conflict(self, api, event):
        events = [{}, event | {"EVENT_ID": "e-1"}, event | {"EVENT_ID": "e-1", "BRAND": "x"}]
        response = post(api, events, query="?on_error=skip")

        assert response.json() | {"errors": []} == {"accepted": 1, "duplicate": 0, "rejected": 2, "errors": []}
        assert [error["index"] for error in response.json()["errors"]] == [0, 2]

    @pytest.mark.parametrize(("value", "words"), [("", "not be empty"), ("x" * 65, "at most 64"), (7, "must be text")])
    def test_an_id_is_text_of_1_to_64_characters(self, api, event, value, words):
        [error] = problem_of(post(api, event | {"EVENT_ID": value}), 400, "invalid-event")["errors"]

        assert error["pointer"] == "/EVENT_ID"
        assert words in error["detail"]

    @pytest.mark.parametrize("event_id", ["it's", "back\\slash", "100 %s", "'); DROP TABLE sales; --", "é€"])
    def test_an_id_may_have_characters_that_mean_something_in_sql(self, api, event, event_id):
        codes = [post(api, event | {"EVENT_ID": event_id}).status_code for _ in range(2)]

        assert codes == [201, 200]
        assert EventId.objects.get().event_id == event_id

    def test_events_without_an_id_are_never_duplicates(self, api, event):
        assert [post(api, event | {"EVENT_ID": None}).status_code for _ in range(2)] == [201, 201]


@pytest.mark.django_db
class TestWriter:
    def test_senders_may_use_the_same_ids(self):
        event = sale_event(EVENT_ID="e-1")
        first, second = record_sales([event], Origin("shop")), record_sales([event], Origin("warehouse"))

        assert (first.accepted, second.accepted) == (1, 1)
        assert first.ids != second.ids

    @pytest.mark.parametrize("number", [2, COPY_THRESHOLD + 5])
    def test_each_event_gets_the_id_of_its_sale(self, number):
        events = [sale_event(EVENT_ID=f"e-{index % 150}", ID_ORDER=str(index % 150)) for index in range(number)]
        record_sales(events[:1], Origin("shop"))
        recorded = record_sales(events, Origin("shop"))

        orders = dict(Sale.objects.values_list("id", "id_order"))
        assert [orders[sale_id] for sale_id in recorded.ids] == [event["ID_ORDER"] for event in events]
        assert recorded.duplicates == {0, *range(150, number)}
        assert not recorded.conflicts


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"REVENUE": Decimal("1E+3")}, {"REVENUE": Decimal("1000.0")}),
        ({"REVENUE": Decimal("-0")}, {"REVENUE": Decimal("0.00")}),
        ({"BRAND": None}, {"BRAND": None, "EVENT_ID": "another"}),
    ],
)
def test_the_same_content_has_the_same_digest(one, other):
    assert content_digest(sale_event(**one)) == content_digest(sale_event(**other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"REVENUE": Decimal("999999999999999.00000000000000000001")}, {"REVENUE": Decimal("999999999999999")}),
        ({"ID_ORDER": "1", "ID_PRODUCT": "23"}, {"ID_ORDER": "12", "ID_PRODUCT": "3"}),
        ({"BRAND": None}, {"BRAND": "None"}),
    ],
)
def test_other_content_has_another_digest(one, other):
    assert content_digest(sale_event(**one)) != content_digest(sale_event(**other))


@pytest.mark.django_db(transaction=True)
def test_concurrent_requests_with_the_same_ids_store_each_once():
    """Eight threads send the same 60 events, one of them in two versions, in batches of random order and size."""
    events = [sale_event(EVENT_ID=f"e-{number}", REVENUE=2**number) for number in range(59)]
    events += [sale_event(EVENT_ID="e-59", REVENUE=0), sale_event(EVENT_ID="e-59", REVENUE="0.5")]

    def send(seed):
        rng, outcomes = random.Random(seed), Counter()
        unsent = rng.sample(events, len(events))
        while unsent:
            batch = [unsent.pop() for _ in range(min(len(unsent), rng.choice((1, 2, 10, 30))))]
            recorded = record_sales(batch, Origin("shop"))
            outcomes += Counter(
                accepted=recorded.accepted, duplicate=len(recorded.duplicates), conflict=len(recorded.conflicts)
            )
        connection.close()
        return outcomes

    with ThreadPoolExecutor(8) as senders:
        outcomes = sum(senders.map(send, range(8)), Counter())

    assert outcomes == Counter(accepted=60, duplicate=7 * 60, conflict=8)
    assert Sale.objects.count() == EventId.objects.count() == 60
    assert verification.verify() == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attempt", range(4))
def test_batches_with_the_same_ids_in_another_order_do_not_deadlock(attempt):
    events = [sale_event(EVENT_ID=f"e-{number}") for number in range(4_000)]
    start = threading.Barrier(2)

    def send(batch):
        start.wait()
        try:
            return record_sales(batch, Origin("shop")).accepted
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as senders:
        assert sorted(senders.map(send, [events, events[::-1]])) == [0, 4_000]


def claim_in_other_order(is_claimed):
    """Claim e-2, and e-1 when another session waits for e-2. Then give both back."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL deadlock_timeout = '5s'")  # later than that of the other session, which fails
        cursor.execute(CLAIM, ["e-2"])
        is_claimed.set()
        wait_until(someone_waits)
        cursor.execute(CLAIM, ["e-1"])
        transaction.set_rollback(True)
    connection.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k-1"}])
def test_a_batch_is_stored_although_postgresql_ended_its_first_transaction_as_a_deadlock(api, event, headers):
    is_claimed = threading.Event()
    with ThreadPoolExecutor(1) as threads, connection.cursor() as cursor:
        rival = threads.submit(claim_in_other_order, is_claimed)
        is_claimed.wait()
        cursor.execute("SET deadlock_timeout = '500ms'")
        response = post(api, [event | {"EVENT_ID": "e-1"}, event | {"EVENT_ID": "e-2"}], **headers)
        cursor.execute("RESET deadlock_timeout")
        rival.result()

    assert (response.status_code, response.json()["accepted"]) == (201, 2)
    assert Sale.objects.count() == EventId.objects.count() == 2
