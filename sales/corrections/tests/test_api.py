"""POST /corrections: what it accepts, what it answers, and who may use it."""

import gzip
import json

import pytest
from django.contrib.admin.models import LogEntry
from django.db import OperationalError
from rest_framework.test import APIClient

from sales.corrections.tests.helpers import replace, store, void
from sales.ingest.fields import FIELDS
from sales.ingest.schema import EXAMPLE
from sales.models import IdempotencyKey, LedgerEntry, Sale, VoidedSale
from sales.tests.helpers import rejected_event
from salesengine.accounts.api_keys import create_key
from salesengine.operations.metrics import registry
from salesengine.tests.clients import post, problem_of, staff_client

pytestmark = pytest.mark.django_db

KEY = {"Idempotency-Key": "8e03978e"}


def send(api, body, content_type="application/json", query="", **headers):
    text = body if isinstance(body, bytes | str) else json.dumps(body)
    return api.generic("POST", f"/corrections{query}", text, content_type=content_type, headers=headers)


def errors_of(response, status, slug):
    """Return the errors of a problem, after checking that nothing was changed."""
    assert not VoidedSale.objects.exists()
    return {error["pointer"]: error["detail"] for error in problem_of(response, status, slug)["errors"]}


def client_of(name, *scopes):
    return APIClient(headers={"Authorization": f"Api-Key {create_key(name, scopes)}"})


def ann():
    return staff_client("sales.view_sale", "sales.correct_sale", name="ann")


class TestAnswers:
    def test_a_voided_sale_is_returned(self, api):
        [sale_id] = store({"EVENT_ID": "e-1"})

        response = send(api, void(ID=sale_id))

        assert response.status_code == 200
        body = response.json()
        assert body["sale"] is None
        assert list(body["voided"]) == ["ID", *FIELDS, "voided_at", "reason", "replaced_by"]
        assert (body["voided"]["ID"], body["voided"]["EVENT_ID"]) == (sale_id, "e-1")
        assert (body["voided"]["REVENUE"], body["voided"]["reason"]) == (57.27456, "test order")

    def test_a_replacement_is_returned_too(self, api):
        [sale_id] = store({"EVENT_ID": "e-1"})

        body = send(api, replace({"REVENUE": 5}, ID=sale_id)).json()

        sale = Sale.objects.get()
        assert body["voided"]["replaced_by"] == body["sale"]["ID"] == sale.pk
        assert (body["sale"]["REVENUE"], body["sale"]["EVENT_ID"]) == (5, "e-1")
        assert list(body["sale"]) == ["ID", *FIELDS]

    @pytest.mark.parametrize("form", ["list", "lines", "gzip"])
    def test_many_corrections_are_listed_in_their_order(self, api, form):
        ids = store({}, {})
        corrections = [replace({"REVENUE": 5}, ID=ids[1]), void(ID=ids[0])]

        if form == "lines":
            response = send(api, "\n".join(map(json.dumps, corrections)), "application/x-ndjson")
        else:
            body = json.dumps(corrections).encode()
            encoding = {"Content-Encoding": "gzip"} if form == "gzip" else {}
            response = send(api, gzip.compress(body) if encoding else body, **encoding)

        new = Sale.objects.get().pk
        assert response.json() == {"results": [{"ID": ids[1], "replaced_by": new}, {"ID": ids[0], "replaced_by": None}]}

    def test_an_empty_list_changes_nothing(self, api):
        assert send(api, []).json() == {"results": []}
        assert not LedgerEntry.objects.exists()

    def test_only_true_sales_are_read_back(self, api):
        ids = store({"ID_ORDER": "7", "CATEGORY": "bags"}, {"ID_ORDER": "7"})
        send(api, void(ID=ids[0]))

        assert [sale["ID"] for sale in api.get("/sales/7").json()["results"]] == [ids[1]]
        assert [sale["ID"] for sale in api.get("/sales").json()["results"]] == [ids[1]]
        assert api.get("/feedback?category=bags").json() == []
        send(api, void(ID=ids[1]))
        problem_of(api.get("/sales/7"), 404, "not-found")

    def test_corrections_are_counted(self, api, django_capture_on_commit_callbacks):
        ids = store({}, {}, {})
        before = counts()

        with django_capture_on_commit_callbacks(execute=True):
            send(api, [void(ID=ids[0]), void(ID=ids[1]), replace({"REVENUE": 5}, ID=ids[2])])
            send(api, void(ID=ids[0]))

        assert [now - then for now, then in zip(counts(), before, strict=True)] == [2, 1]


def counts():
    actions = ("void", "replace")
    return [registry.get_sample_value("salesengine_corrections_total", {"action": action}) for action in actions]


class TestErrors:
    @pytest.mark.parametrize(
        ("correction", "errors"),
        [
            ({}, {"/action": "is required", "/reason": "is required"}),
            (void(), {"": "must have the ID or the EVENT_ID of a sale, and not both"}),
            (void(ID=None), {"": "must have the ID or the EVENT_ID of a sale, and not both"}),
            (void(ID=1, EVENT_ID="e"), {"": "must have the ID or the EVENT_ID of a sale, and not both"}),
            (void(ID=1, sale=EXAMPLE), {"": "must have a sale if the action is replace, and otherwise none"}),
            (void(ID=1) | {"action": "replace"}, {"": "must have a sale if the action is replace, and otherwise none"}),
            (void(ID=1) | {"action": "delete"}, {"/action": "must be void or replace"}),
            (void(ID=1) | {"reason": " "}, {"/reason": "must not be empty"}),
            (void(ID=1) | {"reason": "a\0"}, {"/reason": "must not contain the character NUL"}),
            (void(ID=1) | {"reason": "a" * 257}, {"/reason": "must have at most 256 characters"}),
            *(
                (void(ID=each), {"/ID": "must be the ID of a sale, such as 50001"})
                for each in (True, 0, 2**63, "x", 1.5)
            ),
            (void(EVENT_ID=7), {"/EVENT_ID": "must be text, in quotes"}),
            (
                void(ID=1, why="x"),
                {"/why": "is not a member of a correction; the members are ID, EVENT_ID, action, reason, sale"},
            ),
            (replace({"REVENUE": "much"}, ID=1), {"/sale/REVENUE": "must be a number, such as 57.27456"}),
            (replace({}, ID=1) | {"sale": 7}, {"/sale": "must be an object with the fields of a sale event"}),
            ([], {"": "must be an object with the members of a correction"}),
            (
                dict.fromkeys(map(str, range(20))),
                {"": "must have only the fields of a correction; it has 20 fields"},
            ),
        ],
    )
    def test_an_invalid_correction_says_what_is_wrong(self, api, correction, errors):
        located = {f"/1{pointer}": detail for pointer, detail in errors.items()}
        [sale_id] = store({})

        assert errors_of(send(api, [void(ID=sale_id), correction]), 400, "invalid-event") == located

    def test_a_line_that_is_not_json_is_named(self, api):
        problem = problem_of(send(api, "{}\n{", "application/x-ndjson"), 400, "invalid-event")

        assert [error["line"] for error in problem["errors"]] == [1, 1, 2]
        assert problem["detail"] == "Found 3 errors in 2 corrections. Nothing was changed."

    def test_many_errors_are_counted_and_the_first_are_listed(self, api):
        problem = problem_of(send(api, [{}] * 2_500), 400, "invalid-event")

        assert (len(problem["errors"]), problem["error_count"]) == (1_000, 5_000)

    def test_the_largest_id_is_404_too(self, api):
        errors_of(send(api, void(ID=2**63 - 1)), 404, "sale-not-found")

    def test_an_unknown_sale_is_404_and_names_its_index(self, api):
        [sale_id] = store({})

        response = send(api, [void(ID=sale_id), void(ID=sale_id + 1)])

        assert errors_of(response, 404, "sale-not-found") == {"/1/ID": "belongs to no sale that is known"}

    def test_a_second_void_is_409(self, api):
        [sale_id] = store({})
        assert send(api, void(ID=sale_id)).status_code == 200

        [error] = problem_of(send(api, void(ID=sale_id)), 409, "already-corrected")["errors"]

        assert error["pointer"] == "/ID"
        assert VoidedSale.objects.count() == 1

    def test_a_query_parameter_is_an_error(self, api):
        problem_of(send(api, [], query="?dry_run=true"), 400, "invalid-request")

    def test_more_corrections_than_events_are_allowed_are_too_many(self, api, settings):
        settings.INGEST_MAX_EVENTS = 2

        problem_of(send(api, [{}] * 3), 413, "content-too-large")


class TestRetries:
    def test_a_retry_returns_the_first_response_and_changes_nothing(self, api):
        [sale_id] = store({})
        first = send(api, void(ID=sale_id), **KEY)

        retry = send(api, void(ID=sale_id), **KEY)

        assert (retry.status_code, retry.content) == (200, first.content)
        assert retry["Idempotent-Replayed"] == "true"
        assert VoidedSale.objects.count() == 1

    def test_the_same_key_with_another_correction_is_an_error(self, api):
        ids = store({}, {})
        send(api, void(ID=ids[0]), **KEY)

        problem_of(send(api, void(ID=ids[1]), **KEY), 422, "idempotency-key-reused")

    def test_the_key_of_an_ingest_request_is_an_error(self, api):
        post(api, [], **KEY)

        problem_of(send(api, [], **KEY), 422, "idempotency-key-reused")

    def test_a_refused_request_leaves_the_key_free(self, api):
        [sale_id] = store({})
        problem_of(send(api, void(ID=sale_id + 1), **KEY), 404, "sale-not-found")

        assert not IdempotencyKey.objects.exists()
        assert send(api, void(ID=sale_id), **KEY).status_code == 200


class TestWho:
    def test_a_client_corrects_what_it_sent_and_nothing_else(self, settings, event):
        shop, other = (client_of(name, "ingest", "correct") for name in ("shop", "other"))
        posted = post(shop, [event, event | {"EVENT_ID": "e-1"}])
        assert posted.status_code == 201
        ids = list(Sale.objects.order_by("pk").values_list("pk", flat=True))

        for which in ({"ID": ids[0]}, {"ID": ids[1]}, {"EVENT_ID": "e-1"}):
            errors_of(send(other, void(**which)), 404, "sale-not-found")

        assert send(shop, [void(ID=ids[0]), void(EVENT_ID="e-1")]).status_code == 200
        assert set(VoidedSale.objects.values_list("voided_by", flat=True)) == {"shop"}

    def test_staff_correct_the_sales_of_all_senders_under_their_own_name(self):
        [sale_id] = store({})

        assert send(ann(), void(ID=sale_id)).status_code == 200
        assert VoidedSale.objects.get().voided_by == "user:ann"

    def test_staff_who_may_not_see_sales_may_not_correct_them(self, settings):
        settings.API_KEY_REQUIRED = True
        [sale_id] = store({})

        assert send(staff_client("sales.correct_sale"), void(ID=sale_id)).status_code == 403
        assert Sale.objects.exists()

    @pytest.mark.parametrize("headers", [{}, KEY])
    @pytest.mark.django_db(transaction=True)
    def test_a_correction_without_its_entry_in_the_audit_log_is_not_made(self, headers, monkeypatch):
        def fail(self, **options):
            raise OperationalError

        [sale_id] = store({})
        staff = ann()
        monkeypatch.setattr(LogEntry, "save", fail)

        assert send(staff, void(ID=sale_id), **headers).status_code == 503
        assert Sale.objects.exists()
        assert not VoidedSale.objects.exists()

    def test_corrections_by_staff_are_in_the_audit_log_once(self):
        one, *others = store({}, {}, {})
        staff = ann()
        send(staff, void(ID=one), **KEY, **{"X-Request-ID": "r-7"})
        send(staff, void(ID=one), **KEY, **{"X-Request-ID": "r-7"})
        send(staff, [void(ID=others[0]), replace({"REVENUE": 5}, ID=others[1])], **{"X-Request-ID": "r-8"})

        entries = LogEntry.objects.order_by("pk").values_list("user__username", "object_id", "change_message")
        assert list(entries) == [
            ("ann", str(one), "1 voided, 0 replaced by the API. Request: r-7"),
            ("ann", None, "1 voided, 1 replaced by the API. Request: r-8"),
        ]

    def test_the_ledger_knows_the_request(self, api):
        [sale_id] = store({})

        response = send(api, void(ID=sale_id), **{"X-Request-ID": "r-77"})

        assert response.status_code == 200
        assert LedgerEntry.objects.get(voided=1).sources == ["r-77"]


def test_the_sale_of_a_replayed_event_can_be_voided_and_its_page_leads_to_what_it_was(api, admin_client):
    [sale_id] = store({})
    rejected = rejected_event(replayed_at="2021-01-01T00:00Z", replayed_by="jo", sale_id=sale_id)
    send(api, void(ID=sale_id))

    page = admin_client.get(f"/admin/sales/rejectedevent/{rejected.pk}/change/").content.decode()
    assert f'href="/admin/sales/sale/{sale_id}/change/"' in page
    response = admin_client.get(f"/admin/sales/sale/{sale_id}/change/", follow=True)

    assert response.redirect_chain == [(f"/admin/sales/voidedsale/{sale_id}/change/", 302)]
    assert f"The sale {sale_id} was voided." in response.content.decode()
