"""EVENT_ID: an event of the same sender is stored once, however often and by however many it is sent."""

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.db import connection

from sales.ingest.writer import FEW, contents_digest, record_sales
from sales.models import EventId, Sale
from sales.tests.helpers import sale_event
from sales.totals import feedback, feedback_verification
from salesengine.tests.clients import post, problem_of


@pytest.mark.django_db
class TestOverHTTP:
    def test_an_event_seen_before_is_a_duplicate(self, api, event):
        first = post(api, event | {"EVENT_ID": "e-1"})
        again = post(api, event | {"EVENT_ID": "e-1"})

        assert (first.status_code, again.status_code) == (201, 200)
        assert again.json() == first.json()
        assert first.json()["EVENT_ID"] == Sale.objects.get().event_id == "e-1"
        assert feedback.watermark().sales == 1

    def test_the_same_contents_written_in_another_way_are_the_same(self, api, event):
        post(api, event | {"EVENT_ID": "e-1", "REVENUE": "1.50", "BRAND": None})
        del event["BRAND"]
        again = post(api, event | {"EVENT_ID": "e-1", "REVENUE": 1.5, "DATE_PAYMENT": "2021-01-07T01:09:24+01:00"})

        assert again.status_code == 200

    @pytest.mark.parametrize(
        "change",
        [{"REVENUE": "57.27457"}, {"BRAND": None}, {"CATEGORY": "shoes"}, {"DATE_PAYMENT": "2021-01-07T00:09:25Z"}],
    )
    def test_other_contents_are_a_conflict(self, api, event, change):
        post(api, event | {"EVENT_ID": "e-1"})
        response = post(api, event | change | {"EVENT_ID": "e-1"})

        errors = [{"pointer": "/EVENT_ID", "detail": "was sent before with other contents"}]
        assert problem_of(response, 409, "event-conflict")["errors"] == errors
        assert Sale.objects.count() == 1

    def test_one_conflict_keeps_the_whole_list_out(self, api, event):
        post(api, event | {"EVENT_ID": "e-1"})
        response = post(api, [event | {"EVENT_ID": "e-0"}, event, event | {"EVENT_ID": "e-1", "BRAND": "x"}])

        assert problem_of(response, 409, "event-conflict")["errors"][0]["pointer"] == "/2/EVENT_ID"
        assert Sale.objects.count() == EventId.objects.count() == feedback.watermark().sales == 1

    def test_a_list_is_taken_without_its_duplicates(self, api, event):
        post(api, event | {"EVENT_ID": "e-1"})
        response = post(api, [event | {"EVENT_ID": f"e-{number}"} for number in (0, 1, 2)] + [event])

        assert (response.status_code, response.json()) == (201, {"accepted": 3, "duplicate": 1, "rejected": 0})
        assert feedback.watermark().sales == Sale.objects.count() == 4

    def test_a_list_of_nothing_but_duplicates_is_200(self, api, event):
        events = [event | {"EVENT_ID": "e-1"}, event | {"EVENT_ID": "e-2"}]
        post(api, events)

        response = post(api, events)

        assert (response.status_code, response.json()) == (200, {"accepted": 0, "duplicate": 2, "rejected": 0})

    def test_one_id_twice_in_a_list_is_stored_once(self, api, event):
        response = post(api, [event | {"EVENT_ID": "e-1"}] * 3)

        assert response.json() == {"accepted": 1, "duplicate": 2, "rejected": 0}
        assert Sale.objects.count() == feedback.watermark().sales == 1

    def test_one_id_twice_in_a_list_with_other_contents_is_a_conflict(self, api, event):
        bad = [{}, event | {"EVENT_ID": "e-1"}, event | {"EVENT_ID": "e-1", "BRAND": "x"}]
        response = post(api, bad, query="?on_error=skip")

        assert response.json() | {"errors": []} == {"accepted": 1, "duplicate": 0, "rejected": 2, "errors": []}
        assert [each["index"] for each in response.json()["errors"]] == [0, 2]

    @pytest.mark.parametrize(("value", "words"), [("", "not be empty"), ("x" * 65, "at most 64"), (7, "must be text")])
    def test_an_id_is_text_of_1_to_64_characters(self, api, event, value, words):
        [error] = problem_of(post(api, event | {"EVENT_ID": value}), 400, "invalid-event")["errors"]

        assert error["pointer"] == "/EVENT_ID"
        assert words in error["detail"]

    def test_no_id_is_no_duplicate(self, api, event):
        assert [post(api, event | {"EVENT_ID": None}).status_code for _ in range(2)] == [201, 201]


@pytest.mark.django_db
class TestWriter:
    def test_senders_do_not_meet_each_other(self):
        event = sale_event(EVENT_ID="e-1")
        first, second = record_sales([event], "shop"), record_sales([event], "warehouse")

        assert (first.accepted, second.accepted) == (1, 1)
        assert first.ids != second.ids

    @pytest.mark.parametrize("number", [2, FEW + 5])
    def test_every_event_gets_the_id_of_its_sale(self, number):
        events = [sale_event(EVENT_ID=f"e-{place % 150}", ID_ORDER=str(place % 150)) for place in range(number)]
        record_sales(events[:1], "shop")
        recorded = record_sales(events, "shop")

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
def test_the_same_contents_have_the_same_digest(one, other):
    assert contents_digest(sale_event(**one)) == contents_digest(sale_event(**other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"REVENUE": Decimal("999999999999999.00000000000000000001")}, {"REVENUE": Decimal("999999999999999")}),
        ({"ID_ORDER": "1", "ID_PRODUCT": "23"}, {"ID_ORDER": "12", "ID_PRODUCT": "3"}),
        ({"BRAND": None}, {"BRAND": "None"}),
    ],
)
def test_other_contents_have_another_digest(one, other):
    assert contents_digest(sale_event(**one)) != contents_digest(sale_event(**other))


@pytest.mark.django_db(transaction=True)
def test_concurrent_senders_of_the_same_ids_store_each_once():
    """Eight senders shuffle the same 60 events, one of them in two versions, into batches of all sizes."""
    versions = [sale_event(EVENT_ID=f"e-{number}", REVENUE=2**number) for number in range(59)]
    versions += [sale_event(EVENT_ID="e-59", REVENUE=0), sale_event(EVENT_ID="e-59", REVENUE="0.5")]

    def send(seed):
        rng, outcomes = random.Random(seed), Counter()
        events = rng.sample(versions, len(versions))
        while events:
            batch = [events.pop() for _ in range(min(len(events), rng.choice((1, 2, 10, 30))))]
            recorded = record_sales(batch, "shop")
            outcomes += Counter(
                accepted=recorded.accepted, duplicate=len(recorded.duplicates), conflict=len(recorded.conflicts)
            )
        connection.close()
        return outcomes

    with ThreadPoolExecutor(8) as senders:
        outcomes = sum(senders.map(send, range(8)), Counter())

    assert outcomes == Counter(accepted=60, duplicate=7 * 60, conflict=8)
    assert Sale.objects.count() == EventId.objects.count() == 60
    assert feedback_verification.verify() == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attempt", range(4))
def test_batches_of_the_same_ids_in_another_order_do_not_wait_for_each_other(attempt):
    events = [sale_event(EVENT_ID=f"e-{number}") for number in range(4_000)]
    start = threading.Barrier(2)

    def send(batch):
        start.wait()
        try:
            return record_sales(batch, "shop").accepted
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as senders:
        assert sorted(senders.map(send, [events, events[::-1]])) == [0, 4_000]
