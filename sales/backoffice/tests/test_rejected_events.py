"""Staff find, edit and replay rejected events in the back office."""

import json
import re
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection, transaction
from django.urls import reverse

from sales.backoffice import rejected_events
from sales.ingest.schema import EXAMPLE
from sales.ingest.writer import record_sales
from sales.models import RejectedEvent, Sale
from sales.rejected.replay import save_edit
from sales.tests.helpers import EVENT, rejected_event, sale_event
from sales.totals.ledger import Origin
from salesengine.tests.clients import post, staff_client

pytestmark = pytest.mark.django_db
LIST = "/admin/sales/rejectedevent/"
WRONG = json.dumps({**EXAMPLE, "REVENUE": "much"})


def page_of(client, rejected):
    response = client.get(f"{LIST}{rejected.pk}/change/")
    assert response.status_code == 200
    return response.content.decode()


def form_of(client, rejected):
    """Return what the form of an event's page sends if nobody types."""
    page = client.get(f"{LIST}{rejected.pk}/change/")
    text = page.context["adminform"].form.initial["edited"].replace("\n", "\r\n")
    return {"edited": text, "version": re.search('name="version" value="(.*?)"', page.content.decode())[1]}


def submit(client, rejected, button, text=None, form=None):
    """Press a button on an event's page and return the page that follows."""
    data = {**(form or form_of(client, rejected)), button: "1"}
    if text is not None:
        data["edited"] = text.replace("\n", "\r\n")
    response = client.post(f"{LIST}{rejected.pk}/change/", data, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def replay_selected(client, rows, **query):
    data = {"action": "replay_selected", "_selected_action": [row.pk for row in rows], **query}
    response = client.post(LIST, data, follow=True)
    assert response.status_code == 200
    return [str(message) for message in response.context["messages"]]


def listed(client, **query):
    response = client.get(LIST, query)
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


class TestList:
    def test_skipped_events_are_listed_newest_first(self, admin_client, api, event):
        post(api, [event, {}], query="?on_error=skip")
        post(api, [event, 7], query="?on_error=skip")

        assert [row.reason for row in listed(admin_client)] == [
            "must be an object with the fields of a sale event",
            "ID_ORDER is required",
        ]

    def test_filters_select_the_matching_events(self, admin_client):
        shop, warehouse = rejected_event(sender="shop"), rejected_event("{", sender="warehouse", reason="no JSON")
        submit(admin_client, shop, "_replay")

        assert listed(admin_client, sender="shop", state="all") == listed(admin_client, state="replayed") == [shop]
        assert listed(admin_client, reason="no JSON") == listed(admin_client, state="waiting") == [warehouse]
        assert listed(admin_client, sender="shop", state="waiting") == []
        assert listed(admin_client, received_at_from="2100-01-01") == []

    def test_the_filters_offer_the_existing_values(self, admin_client):
        for sender, reason in (("shop", "a"), ("shop", "b"), ("warehouse", "a")):
            rejected_event(sender=sender, reason=reason)

        specs = {spec.title: spec.lookup_choices for spec in admin_client.get(LIST).context["cl"].filter_specs[:3]}

        assert specs["sender"] == [("shop", "shop"), ("warehouse", "warehouse")]
        assert specs["error"] == [("a", "a"), ("b", "b")]

    def test_an_event_without_errors_is_listed_as_edited(self, admin_client):
        submit(admin_client, rejected_event(WRONG), "_save", EVENT)

        response = admin_client.get(LIST)

        assert re.search(r"field-error[^>]*>\s*edited\s*<", response.content.decode())
        assert response.context["cl"].filter_specs[1].lookup_choices == [("mended", "edited")]

    def test_the_search_matches_a_complete_source(self, admin_client):
        file, _ = rejected_event(source="sales.csv"), rejected_event(source="other")

        assert listed(admin_client, q="sales.csv") == [file]
        assert listed(admin_client, q="sales") == []

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
    def test_an_invalid_url_does_not_fail(self, admin_client, query):
        rejected_event()

        assert admin_client.get(f"{LIST}?{query}").status_code < 500

    def test_the_list_needs_a_fixed_number_of_queries(self, admin_client, django_assert_max_num_queries):
        for number in range(60):
            rejected_event(sender=str(number))

        with django_assert_max_num_queries(10):
            assert len(listed(admin_client)) == 50

    def test_the_list_shows_a_limited_number_of_events(self, admin_client, monkeypatch):
        monkeypatch.setattr("salesengine.backoffice.base.MAX_LISTED_ROWS", 3)
        for _ in range(5):
            rejected_event()

        assert admin_client.get(LIST).context["cl"].result_count == 3


class TestPage:
    def test_the_page_shows_the_errors_and_the_event(self, admin_client, api):
        post(api, f"[{WRONG}]", query="?on_error=skip")

        page = page_of(admin_client, RejectedEvent.objects.get())

        assert "<li>REVENUE must be a number, such as 57.27456.</li>" in page
        assert "&quot;ID_ORDER&quot;: &quot;34033734&quot;,\n" in page

    def test_markup_in_an_event_is_escaped(self, admin_client):
        page = page_of(
            admin_client, rejected_event('"</textarea><script>"', errors=[{"pointer": "/<b>", "detail": ""}])
        )

        assert "<script>&quot;" not in page
        assert "<b>" not in page

    @pytest.mark.parametrize(
        "content", [b"\xff\x00{", b'{"ID_ORDER": "\xc1"}', b"[" * 5_000, b'"' + b"x" * 1_000_000, b""]
    )
    def test_any_content_can_be_viewed(self, admin_client, content):
        page_of(admin_client, rejected_event(content))
        assert admin_client.get(LIST).status_code == 200

    def test_a_check_finds_errors_and_stores_nothing(self, admin_client):
        rejected = rejected_event(WRONG)

        page = submit(admin_client, rejected, "_check", '{"REVENUE": 1.50}')

        assert "7 errors found. Nothing was stored." in page
        assert "<li>ID_ORDER is required.</li>" in page
        assert "{&quot;REVENUE&quot;: 1.50}" in page
        assert RejectedEvent.objects.get().edited is None

    def test_a_check_of_a_valid_event_finds_no_errors_and_stores_nothing(self, admin_client):
        page = submit(admin_client, rejected_event(WRONG), "_check", EVENT)

        assert "No errors found. Nothing was stored." in page
        assert (RejectedEvent.objects.get().edited, Sale.objects.count()) == (None, 0)

    def test_unedited_text_is_checked_and_replayed_as_the_original_bytes(self, admin_client):
        rejected = rejected_event(EVENT.encode().replace(b"Dsquared2", b"\xff"))

        assert "1 error found." in submit(admin_client, rejected, "_check")
        assert "Replay: 1 still invalid." in submit(admin_client, rejected, "_replay")

    def test_saved_text_is_stored_exactly_as_typed(self, admin_client):
        rejected, typed = rejected_event(WRONG), ' {"REVENUE": 1.500,\n\n"x"  : 1E+3}\n'

        page = submit(admin_client, rejected, "_save", typed)

        assert "Saved. The event has not been replayed yet." in page
        assert RejectedEvent.objects.get().edited == typed
        assert LogEntry.objects.get().object_id == str(rejected.pk)

    def test_a_replay_saves_the_text_stores_the_sale_and_links_to_it(self, admin_client):
        rejected = rejected_event(WRONG)

        page = submit(admin_client, rejected, "_replay", EVENT.replace('"57.27456"', "57.2745600"))

        sale = Sale.objects.get()
        assert "Replay: 1 stored as a new sale." in page
        assert f'href="/admin/sales/sale/{sale.pk}/change/"' in page
        assert "57.2745600" in page  # the text that was replayed
        assert "much" in page  # the original
        assert "<textarea" not in page
        assert 'name="_replay"' not in page
        assert RejectedEvent.objects.get().replayed_by == "admin"

    def test_a_replay_of_invalid_text_saves_the_text(self, admin_client):
        page = submit(admin_client, rejected_event(WRONG), "_replay", "{}")

        assert "Replay: 1 still invalid." in page
        assert "<li>REVENUE is required.</li>" in page
        assert RejectedEvent.objects.get().edited == "{}"

    def test_unedited_text_is_not_stored_twice(self, admin_client):
        submit(admin_client, rejected_event(EVENT), "_replay")

        assert RejectedEvent.objects.get().edited is None
        assert Sale.objects.count() == 1

    def test_a_second_click_shows_a_message_and_stores_nothing(self, admin_client):
        rejected = rejected_event()
        submit(admin_client, rejected, "_replay")

        response = admin_client.post(f"{LIST}{rejected.pk}/change/", {"edited": "{}", "_replay": "1"}, follow=True)

        assert "Replay: 1 already replayed or deleted." in response.content.decode()
        assert (Sale.objects.count(), RejectedEvent.objects.get().edited) == (1, None)

    def test_an_empty_text_is_refused(self, admin_client):
        assert "This field is required." in submit(admin_client, rejected_event(WRONG), "_replay", "")
        assert RejectedEvent.objects.get().edited is None


class TestTwoUsers:
    @pytest.fixture
    def rejected(self):
        return rejected_event(WRONG)

    @pytest.fixture
    def old_form(self, admin_client, rejected):
        """The form of an event that somebody else edits then."""
        form = form_of(admin_client, rejected)
        submit(admin_client, rejected, "_save", '{"by": "another"}')
        return form

    @pytest.mark.parametrize("button", ["_save", "_replay", "_check"])
    def test_a_change_of_an_older_text_is_refused(self, admin_client, rejected, old_form, button):
        page = submit(admin_client, rejected, button, EVENT, old_form)

        assert "Somebody changed this event meanwhile." in page
        assert RejectedEvent.objects.get().edited == '{"by": "another"}'
        assert not Sale.objects.exists()

    def test_an_older_text_without_a_change_is_not_replayed(self, admin_client, rejected, old_form):
        assert "Somebody changed this event meanwhile." in submit(admin_client, rejected, "_replay", form=old_form)
        assert RejectedEvent.objects.get().edited == '{"by": "another"}'

    def test_the_form_then_has_the_newer_text_and_can_be_saved(self, admin_client, rejected, old_form):
        url = f"{LIST}{rejected.pk}/change/"
        refused = admin_client.post(url, {**old_form, "edited": '{"by": "<me>"}', "_save": "1"})
        form = refused.context["adminform"].form

        assert '<pre class="event-text">{&quot;by&quot;: &quot;&lt;me&gt;&quot;}</pre>' in refused.content.decode()
        assert form["edited"].value() == '{"by": "another"}'
        submit(admin_client, rejected, "_save", EVENT, {"version": form.version})
        assert RejectedEvent.objects.get().edited == EVENT

    def test_a_second_click_on_save_is_not_refused(self, admin_client, rejected, old_form):
        assert "Saved." in submit(admin_client, rejected, "_save", '{"by": "another"}', old_form)
        assert LogEntry.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_history_can_be_read_by_post_too(admin_client):
    url = reverse("admin:sales_rejectedevent_history", args=[rejected_event(WRONG).pk])

    assert admin_client.post(url).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_a_change_waits_for_another_one_and_is_then_refused(admin_client):
    rejected = rejected_event(WRONG)
    form = form_of(admin_client, rejected)

    def change():
        page = submit(admin_client, rejected, "_save", EVENT, form)
        connection.close()
        return page

    with ThreadPoolExecutor(1) as colleague:
        with transaction.atomic():
            save_edit(rejected.pk, '{"by": "another"}')
            page = colleague.submit(change)
            assert not wait([page], timeout=0.5).done
        assert "Somebody changed this event meanwhile." in page.result()

    assert RejectedEvent.objects.get().edited == '{"by": "another"}'


class TestReplayOfSelectedEvents:
    def test_the_message_counts_every_outcome(self, admin_client):
        record_sales([sale_event(EVENT_ID="e-1")], Origin("shop"))
        rows = [rejected_event(), rejected_event(), rejected_event({**EXAMPLE, "EVENT_ID": "e-1"}), rejected_event("{")]

        messages = replay_selected(admin_client, rows)

        assert messages == ["Replay: 2 stored as new sales; 1 already stored, so marked as replayed; 1 still invalid."]
        assert Sale.objects.count() == 3

    def test_a_second_click_stores_nothing(self, admin_client):
        rows = [rejected_event(), rejected_event()]
        replay_selected(admin_client, rows)

        assert replay_selected(admin_client, rows) == ["Replay: no selected event was waiting."]
        assert Sale.objects.count() == 2

    def test_all_matching_events_can_be_selected(self, admin_client):
        rows = [rejected_event() for _ in range(60)]

        assert replay_selected(admin_client, rows[:1], select_across="1") == ["Replay: 60 stored as new sales."]

    def test_a_full_selection_is_not_said_to_be_a_part(self, admin_client, monkeypatch):
        monkeypatch.setattr(rejected_events, "MAX_LISTED_ROWS", 3)

        messages = replay_selected(admin_client, [rejected_event(WRONG) for _ in range(3)])

        assert messages == ["Replay: 3 still invalid."]

    def test_a_replay_of_nothing_is_not_in_the_audit_log(self, admin_client):
        replayed = rejected_event(replayed_at="2021-01-01T00:00Z", replayed_by="jo", sale_id=1)

        messages = replay_selected(admin_client, [replayed])

        assert messages == ["Replay: no selected event was waiting."]
        assert not LogEntry.objects.exists()

    def test_one_click_replays_a_limited_number(self, admin_client, monkeypatch):
        monkeypatch.setattr(rejected_events, "MAX_LISTED_ROWS", 3)
        rows = [rejected_event() for _ in range(5)]

        messages = replay_selected(admin_client, rows, select_across="1")
        assert messages[1:] == ["Only the newest 3 were replayed. Select again to replay the others."]
        assert Sale.objects.count() == 3

        replay_selected(admin_client, rows, select_across="1")
        assert Sale.objects.count() == 5


class TestPermissions:
    def test_view_permission_does_not_allow_editing_or_replay(self):
        client, rejected = staff_client("view_rejectedevent"), rejected_event()

        page = page_of(client, rejected)

        assert "34033734" in page
        assert not re.search("<textarea|_replay", page)
        assert client.post(f"{LIST}{rejected.pk}/change/", {"edited": EVENT, "_replay": "1"}).status_code == 403
        replay_selected(client, [rejected])
        assert not Sale.objects.exists()

    def test_change_permission_allows_replay_but_not_deletion(self):
        client, rejected = staff_client("view_rejectedevent", "change_rejectedevent"), rejected_event()

        assert "Replay: 1 stored" in submit(client, rejected, "_replay")
        assert client.post(f"{LIST}{rejected.pk}/delete/", {"post": "yes"}).status_code == 403

    def test_delete_permission_allows_deletion_of_one_event_after_confirmation(self):
        client = staff_client("view_rejectedevent", "change_rejectedevent", "delete_rejectedevent")
        rejected = rejected_event()

        assert f"{LIST}{rejected.pk}/delete/" in page_of(client, rejected)
        assert client.get(f"{LIST}{rejected.pk}/delete/").status_code == 200
        assert RejectedEvent.objects.exists()
        client.post(f"{LIST}{rejected.pk}/delete/", {"post": "yes"})
        assert not RejectedEvent.objects.exists()

    def test_bulk_deletion_and_adding_are_not_possible(self, admin_client):
        rejected = rejected_event()

        replay_selected(admin_client, [rejected], action="delete_selected", post="yes")
        assert admin_client.get(f"{LIST}add/").status_code == 403
        assert RejectedEvent.objects.exists()

    def test_staff_without_permissions_are_refused(self):
        assert staff_client().get(LIST).status_code == 403
