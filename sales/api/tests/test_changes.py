"""GET /changes: every sale exactly once, in the order of positions, and every void."""

import gzip
import json
import time
from decimal import Decimal
from threading import BoundedSemaphore

import pytest
from django.db import connection

from sales.changes import feed
from sales.changes.tests.helpers import void
from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.tests.helpers import sale_event
from sales.totals import folding
from sales.totals.tests.threads import together
from salesengine.http.middleware import WAITED
from salesengine.server.worker_state import is_stopping
from salesengine.tests.clients import problem_of

NDJSON = {"Accept": "application/x-ndjson"}


def get(api, **parameters):
    response = api.get("/changes", parameters)
    assert response.status_code == 200, response.content
    return json.loads(response.content, parse_float=Decimal)


def kinds(page):
    return [(change["position"], change["kind"], change["ID"]) for change in page["results"]]


def walk(api, limit):
    """Return all changes, following `next`."""
    page = get(api, limit=limit)
    found = kinds(page)
    while page["has_more"]:
        page = get(api, limit=limit, after=page["next"])
        assert page["results"]
        found += kinds(page)
    return found


def store(number):
    return record_sales([sale_event() for _ in range(number)]).ids


@pytest.mark.django_db
class TestPages:
    def test_without_sales_there_are_no_changes(self, api):
        assert api.get("/changes").content == b'{"results":[],"next":0,"has_more":false}\n'
        assert api.get("/changes", headers=NDJSON).content == b""

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"REVENUE": "999999999999999.00000000000000000001", "DATE_PAYMENT": "2021-01-07T00:09:24.5Z"},
            {"BRAND": None, "CATEGORY": None, "EVENT_ID": "e-1", "REVENUE": "-12.50"},
            {"ID_ORDER": '"\\\n\t\u2028é\U0001f600/', "BRAND": "\x01\x7f</script>"},
        ],
    )
    def test_a_sale_reads_as_in_the_list_of_sales(self, api, changes):
        record_sales([sale_event(**changes)])

        content = api.get("/changes").content.decode()

        sale = api.get("/sales").json()["results"]
        text = api.get("/sales").content.decode().removeprefix('{"results":[{').removesuffix('}],"next":null}\n')
        expected = '{"results":[{"position":1,"kind":"sale",' + text + '}],"next":1,"has_more":false}\n'
        assert json.loads(content, parse_float=Decimal) == json.loads(expected, parse_float=Decimal)
        assert list(json.loads(content)["results"][0]) == ["position", "kind", *sale[0]]

    @pytest.mark.parametrize("limit", [1, 2, 3, 4, 100])
    def test_every_sale_comes_once_even_if_a_page_ends_inside_a_write(self, api, limit):
        ids = [sale_id for number in (3, 1, 5, 2) for sale_id in store(number)]

        assert walk(api, limit) == [(position, "sale", sale_id) for position, sale_id in enumerate(ids, 1)]

    def test_a_write_whose_ids_have_gaps_has_all_its_sales(self, api):
        known = [sale_event(EVENT_ID=f"e-{number}") for number in (1, 3)]
        record_sales(known)
        ids = record_sales([sale_event(EVENT_ID=f"e-{number}") for number in range(5)]).ids

        assert [sale_id for *_, sale_id in walk(api, 2)] == [*ids[1:4:2], ids[0], ids[2], ids[4]]

    def test_a_voided_sale_comes_at_its_position_and_its_void_follows(self, api):
        first, second = store(2)
        void(first, replaced_by=7)
        [third] = store(1)

        page = get(api)

        assert kinds(page) == [(1, "sale", first), (2, "sale", second), (3, "void", first), (4, "sale", third)]
        sale, _, gone, _ = page["results"]
        assert {name: gone.pop(name) for name in ("reason", "replaced_by")} == {
            "reason": "wrong price",
            "replaced_by": 7,
        }
        assert gone.pop("voided_at") >= gone["RECEIVED_AT"]
        assert gone | {"position": 1, "kind": "sale"} == sale

    def test_nobody_learns_who_voided_a_sale(self, api):
        void(*store(1), voided_by="user:jo")

        assert "user:jo" not in api.get("/changes").content.decode()

    def test_lines_have_the_next_position_in_a_header(self, api):
        store(3)

        for response in (
            api.get("/changes?limit=2", headers=NDJSON),
            api.get("/changes?limit=2&format=ndjson", headers={"Accept": "text/html"}),
        ):
            assert response["Content-Type"] == "application/x-ndjson"
            assert [json.loads(line)["position"] for line in response.content.splitlines()] == [1, 2]
            assert (response["Changes-Next"], response["Changes-Has-More"]) == ("2", "true")

    def test_the_response_is_compressed_if_the_client_accepts_gzip(self, api):
        store(20)

        response = api.get("/changes", headers={"Accept-Encoding": "gzip"})

        assert response["Content-Encoding"] == "gzip"
        assert len(json.loads(gzip.decompress(response.content))["results"]) == 20

    def test_the_last_position_is_where_a_new_follower_starts(self, api):
        store(3)

        page = get(api, after="latest")

        assert page == {"results": [], "next": 3, "has_more": False}
        store(1)
        assert [position for position, *_ in kinds(get(api, after=page["next"]))] == [4]

    def test_a_full_page_needs_no_fold(self, api):
        store(3)
        get(api)
        store(1)

        assert get(api, limit=2)["has_more"]

        with connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM ledger WHERE position IS NULL")
            assert cursor.fetchone() == (1,)


@pytest.mark.django_db
class TestErrors:
    @pytest.mark.parametrize(
        ("query", "parameter"),
        [
            ("after=-1", "after"),
            ("after=now", "after"),
            ("after=9999999999999999999", "after"),
            ("after=1&after=2", "after"),
            ("limit=0", "limit"),
            ("limit=10001", "limit"),
            ("wait=31", "wait"),
            ("wait=1.5", "wait"),
            ("format=csv", "format"),
            ("cursor=1", "cursor"),
        ],
    )
    def test_an_invalid_parameter_is_named(self, api, query, parameter):
        problem = problem_of(api.get(f"/changes?{query}"), 400, "invalid-request")

        assert [error["parameter"] for error in problem["errors"]] == [parameter]

    def test_a_position_that_never_existed_is_an_error(self, api):
        """It comes from a database that was restored to an earlier time, which may go on with other sales."""
        store(2)

        problem = problem_of(api.get("/changes?after=3", headers=NDJSON), 400, "invalid-request")

        assert problem["errors"] == [
            {"parameter": "after", "detail": "must not be greater than the last position, which is 2"}
        ]

    def test_after_a_purge_a_follower_that_is_late_is_told_to_start_again(self, api):
        for _ in range(3):
            store(2)
            folding.fold_all()
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM ledger WHERE position = 2")

        problem_of(api.get("/changes"), 410, "position-purged")
        problem_of(api.get("/changes?after=1&limit=5"), 410, "position-purged")
        assert [position for position, *_ in kinds(get(api, after=2))] == [3, 4, 5, 6]

    def test_missing_sales_are_an_error_and_never_skipped(self, api, caplog):
        ids = store(3)
        folding.fold_all()
        Sale.objects.filter(pk=ids[1]).delete()

        problem_of(api.get("/changes"), 500, "internal-error")
        assert "There are 2 changes after position 0, instead of 3" in caplog.text


@pytest.mark.django_db(transaction=True)
class TestWaiting:
    def test_a_waiting_request_gets_the_next_sale(self, api):
        store(1)
        pages = []
        with together((lambda: pages.append(get(api, after=1, wait=30)),)):
            time.sleep(0.1)
            store(1)

        assert [position for position, *_ in kinds(*pages)] == [2]

    def test_a_request_waits_no_longer_than_it_says(self, api):
        started = time.monotonic()

        response = api.get("/changes?wait=1")

        assert time.monotonic() - started >= 1
        assert response.json() == {"results": [], "next": 0, "has_more": False}
        assert response.wsgi_request.META[WAITED] >= 1

    def test_if_many_wait_the_next_request_gets_its_response_at_once(self, api, monkeypatch):
        monkeypatch.setattr(feed, "waiting_slots", BoundedSemaphore(1))
        feed.waiting_slots.acquire()

        assert get(api, wait=30)["results"] == []

    def test_a_process_that_ends_lets_nobody_wait(self, api, monkeypatch):
        is_stopping.set()
        try:
            assert get(api, wait=30)["results"] == []
        finally:
            is_stopping.clear()

    def test_duplicates_do_not_end_the_waiting(self, api):
        record_sales([sale_event(EVENT_ID="e-1")])
        get(api)
        record_sales([sale_event(EVENT_ID="e-1")])
        started = time.monotonic()

        get(api, after=1, wait=1)

        assert time.monotonic() - started >= 1
