"""Staff find rejected events, mend them, and replay them."""

import json
import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User

from sales.backoffice import rejected_events as rejected_admin
from sales.ingest.schema import EXAMPLE
from sales.ingest.writer import record_sales
from sales.models import RejectedEvent, Sale
from sales.tests.helpers import EVENT, rejected_event, sale_event
from salesengine.tests.clients import post

pytestmark = pytest.mark.django_db
LIST = "/admin/sales/rejectedevent/"
WRONG = json.dumps({**EXAMPLE, "REVENUE": "much"})


def page_of(client, rejected):
    response = client.get(f"{LIST}{rejected.pk}/change/")
    assert response.status_code == 200
    return response.content.decode()


def submit(client, rejected, button, text=None):
    """Press a button on the page of an event; the page that then shows."""
    shown = client.get(f"{LIST}{rejected.pk}/change/").context["adminform"].form.initial.get("mended", "")
    data = {"mended": (shown if text is None else text).replace("\n", "\r\n"), button: "1"}
    response = client.post(f"{LIST}{rejected.pk}/change/", data, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def replay_selected(client, rows, **query):
    data = {"action": "replay_selected", "_selected_action": [row.pk for row in rows], **query}
    response = client.post(LIST, data, follow=True)
    assert response.status_code == 200
    return [str(message) for message in response.context["messages"]]


def found(client, **query):
    response = client.get(LIST, query)
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


@pytest.fixture
def staff(client):
    """A client of somebody with the permissions that are named."""

    def log_in(*permissions):
        user = User.objects.create_user("ann", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client.force_login(user)
        return client

    return log_in


class TestList:
    def test_what_is_skipped_is_there_and_the_newest_first(self, admin_client, api, event):
        post(api, [event, {}], query="?on_error=skip")
        post(api, [event, 7], query="?on_error=skip")

        assert [row.reason for row in found(admin_client)] == [
            "must be an object with the fields of a sale event",
            "ID_ORDER is required",
        ]

    def test_filters_leave_the_events_that_match(self, admin_client):
        shop, warehouse = rejected_event(sender="shop"), rejected_event("{", sender="warehouse", reason="no JSON")
        submit(admin_client, shop, "_replay")

        assert found(admin_client, sender="shop") == found(admin_client, state="replayed") == [shop]
        assert found(admin_client, reason="no JSON") == found(admin_client, state="waiting") == [warehouse]
        assert found(admin_client, sender="shop", state="waiting") == []
        assert found(admin_client, received_at_from="2100-01-01") == []

    def test_the_filters_offer_what_there_is(self, admin_client):
        for sender, reason in (("shop", "a"), ("shop", "b"), ("warehouse", "a")):
            rejected_event(sender=sender, reason=reason)

        specs = {spec.title: spec.lookup_choices for spec in admin_client.get(LIST).context["cl"].filter_specs[:3]}

        assert specs["sender"] == [("shop", "shop"), ("warehouse", "warehouse")]
        assert specs["error"] == [("a", "a"), ("b", "b")]

    def test_the_search_finds_a_whole_source(self, admin_client):
        file, _ = rejected_event(source="sales.csv"), rejected_event(source="other")

        assert found(admin_client, q="sales.csv") == [file]
        assert found(admin_client, q="sales") == []

    @pytest.mark.parametrize(
        "query",
        [
            "sender=%00",
            "q=%00",
            "state=x",
            "received_at_from=10000-01-01",
            "received_at__range__gte=2021-01-01",
            "received_at__year=0",
            "p=9",
            "id=x",
        ],
    )
    def test_an_address_that_makes_no_sense_is_no_failure(self, admin_client, query):
        rejected_event()

        assert admin_client.get(f"{LIST}?{query}").status_code < 500

    def test_a_page_takes_a_fixed_number_of_queries(self, admin_client, django_assert_max_num_queries):
        for number in range(60):
            rejected_event(sender=str(number))

        with django_assert_max_num_queries(10):
            assert len(found(admin_client)) == 50

    def test_it_goes_back_a_bounded_number_of_events(self, admin_client, monkeypatch):
        monkeypatch.setattr("salesengine.backoffice.base.MAX_LISTED_ROWS", 3)
        for _ in range(5):
            rejected_event()

        assert admin_client.get(LIST).context["cl"].result_count == 3


class TestPage:
    def test_it_says_what_is_wrong_beside_the_event(self, admin_client, api):
        post(api, f"[{WRONG}]", query="?on_error=skip")

        page = page_of(admin_client, RejectedEvent.objects.get())

        assert "<li>REVENUE must be a number, such as 57.27456.</li>" in page
        assert "&quot;ID_ORDER&quot;: &quot;34033734&quot;,\n" in page

    def test_markup_in_what_was_sent_is_text(self, admin_client):
        page = page_of(
            admin_client, rejected_event('"</textarea><script>"', errors=[{"pointer": "/<b>", "detail": ""}])
        )

        assert "<script>&quot;" not in page
        assert "<b>" not in page

    @pytest.mark.parametrize("content", [b"\xff\x00{", b"[" * 5_000, b'"' + b"x" * 1_000_000, b""])
    def test_whatever_was_sent_can_be_looked_at(self, admin_client, content):
        page_of(admin_client, rejected_event(content))

    def test_a_check_finds_mistakes_and_stores_nothing(self, admin_client):
        rejected = rejected_event(WRONG)

        page = submit(admin_client, rejected, "_check", '{"REVENUE": 1.50}')

        assert "7 mistakes found. Nothing was stored." in page
        assert "<li>ID_ORDER is required.</li>" in page
        assert "{&quot;REVENUE&quot;: 1.50}" in page
        assert RejectedEvent.objects.get().mended is None

    def test_a_check_finds_a_good_event_good_and_stores_nothing(self, admin_client):
        page = submit(admin_client, rejected_event(WRONG), "_check", EVENT)

        assert "No mistakes found. Nothing was stored." in page
        assert (RejectedEvent.objects.get().mended, Sale.objects.count()) == (None, 0)

    def test_a_check_of_untouched_text_looks_at_what_came_and_not_at_what_can_be_shown(self, admin_client):
        rejected = rejected_event(EVENT.encode().replace(b"Dsquared2", b"\xff"))

        assert "1 mistake found." in submit(admin_client, rejected, "_check")
        assert "Replay: 1 still wrong." in submit(admin_client, rejected, "_replay")

    def test_what_is_saved_is_kept_as_it_was_typed(self, admin_client):
        rejected, typed = rejected_event(WRONG), ' {"REVENUE": 1.500,\n\n"x"  : 1E+3}\n'

        page = submit(admin_client, rejected, "_save", typed)

        assert "Saved. It is not replayed yet." in page
        assert RejectedEvent.objects.get().mended == typed
        assert LogEntry.objects.get().object_id == str(rejected.pk)

    def test_a_replay_saves_and_stores_and_leads_to_the_sale(self, admin_client):
        rejected = rejected_event(WRONG)

        page = submit(admin_client, rejected, "_replay", EVENT.replace('"57.27456"', "57.2745600"))

        sale = Sale.objects.get()
        assert "Replay: 1 stored as new sales." in page
        assert f'href="/admin/sales/sale/{sale.pk}/change/"' in page
        assert "57.2745600" in page  # the text that was replayed
        assert "much" in page  # what came
        assert "<textarea" not in page
        assert 'name="_replay"' not in page
        assert RejectedEvent.objects.get().replayed_by == "admin"

    def test_a_replay_of_what_is_wrong_keeps_the_text(self, admin_client):
        page = submit(admin_client, rejected_event(WRONG), "_replay", "{}")

        assert "Replay: 1 still wrong." in page
        assert "<li>REVENUE is required.</li>" in page
        assert RejectedEvent.objects.get().mended == "{}"

    def test_text_that_was_not_touched_is_not_kept_twice(self, admin_client):
        submit(admin_client, rejected_event(EVENT), "_replay")

        assert RejectedEvent.objects.get().mended is None
        assert Sale.objects.count() == 1

    def test_a_second_click_is_told_so_and_stores_nothing(self, admin_client):
        rejected = rejected_event()
        submit(admin_client, rejected, "_replay")

        response = admin_client.post(f"{LIST}{rejected.pk}/change/", {"mended": "{}", "_replay": "1"}, follow=True)

        assert "Replay: 1 replayed earlier, or deleted." in response.content.decode()
        assert (Sale.objects.count(), RejectedEvent.objects.get().mended) == (1, None)

    def test_an_empty_text_is_asked_for(self, admin_client):
        assert "This field is required." in submit(admin_client, rejected_event(WRONG), "_replay", "")
        assert RejectedEvent.objects.get().mended is None


class TestReplayOfMany:
    def test_it_tells_what_became_of_them(self, admin_client):
        record_sales([sale_event(EVENT_ID="e-1")], "shop")
        rows = [rejected_event(), rejected_event(), rejected_event({**EXAMPLE, "EVENT_ID": "e-1"}), rejected_event("{")]

        said = replay_selected(admin_client, rows)

        assert said == ["Replay: 2 stored as new sales; 1 stored before, so counted as replayed; 1 still wrong."]
        assert Sale.objects.count() == 3

    def test_a_second_click_stores_nothing(self, admin_client):
        rows = [rejected_event(), rejected_event()]
        replay_selected(admin_client, rows)

        assert replay_selected(admin_client, rows) == ["Replay: none of them was waiting."]
        assert Sale.objects.count() == 2

    def test_all_that_match_can_be_selected(self, admin_client):
        rows = [rejected_event() for _ in range(60)]

        assert replay_selected(admin_client, rows[:1], select_across="1") == ["Replay: 60 stored as new sales."]

    def test_one_click_replays_a_bounded_number(self, admin_client, monkeypatch):
        monkeypatch.setattr(rejected_admin, "MAX_LISTED_ROWS", 3)
        rows = [rejected_event() for _ in range(5)]

        said = replay_selected(admin_client, rows, select_across="1")
        assert said[1:] == ["These were the newest 3: select again to replay others."]
        assert Sale.objects.count() == 3

        replay_selected(admin_client, rows, select_across="1")
        assert Sale.objects.count() == 5


class TestPermissions:
    def test_who_may_look_cannot_change(self, staff):
        client, rejected = staff("view_rejectedevent"), rejected_event()

        page = page_of(client, rejected)

        assert "34033734" in page
        assert not re.search("<textarea|_replay", page)
        assert client.post(f"{LIST}{rejected.pk}/change/", {"mended": EVENT, "_replay": "1"}).status_code == 403
        replay_selected(client, [rejected])
        assert not Sale.objects.exists()

    def test_who_may_change_can_replay_and_not_delete(self, staff):
        client, rejected = staff("view_rejectedevent", "change_rejectedevent"), rejected_event()

        assert "Replay: 1 stored" in submit(client, rejected, "_replay")
        assert client.post(f"{LIST}{rejected.pk}/delete/", {"post": "yes"}).status_code == 403

    def test_who_may_delete_deletes_one_after_confirming_it(self, staff):
        client = staff("view_rejectedevent", "change_rejectedevent", "delete_rejectedevent")
        rejected = rejected_event()

        assert f"{LIST}{rejected.pk}/delete/" in page_of(client, rejected)
        assert client.get(f"{LIST}{rejected.pk}/delete/").status_code == 200
        assert RejectedEvent.objects.exists()
        client.post(f"{LIST}{rejected.pk}/delete/", {"post": "yes"})
        assert not RejectedEvent.objects.exists()

    def test_nobody_deletes_many_or_adds(self, admin_client):
        rejected = rejected_event()

        replay_selected(admin_client, [rejected], action="delete_selected", post="yes")
        assert admin_client.get(f"{LIST}add/").status_code == 403
        assert RejectedEvent.objects.exists()

    def test_others_see_nothing(self, staff):
        assert staff().get(LIST).status_code == 403
