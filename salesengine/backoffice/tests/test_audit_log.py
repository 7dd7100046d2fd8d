"""The audit log: the texts of its entries, and its page."""

import pytest
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from countries.models import Country
from sales.models import RejectedEvent
from sales.tests.helpers import EVENT, rejected_event
from salesengine.accounts.api_keys import create_key
from salesengine.accounts.models import APIKey
from salesengine.backoffice.tests.helpers import (
    COUNTRIES,
    FAILED,
    GROUP_PAGES,
    KEYS,
    LOG,
    LOGINS,
    REJECTED,
    USERS,
    form_of,
)
from salesengine.tests.clients import PASSWORD, log_in, staff_client, text_of

pytestmark = pytest.mark.django_db


def last_message():
    """Return the message of the newest entry."""
    return LogEntry.objects.latest("pk").get_change_message()


@pytest.fixture
def france():
    return Country.objects.create(pk="170", country_name="France")


class TestMessages:
    def test_a_change_lists_the_old_and_the_new_value_of_each_field(self, admin_client, france):
        admin_client.post(f"{COUNTRIES}170/change/", {"country_name": "Frankreich", "continent": "Europe"})

        assert last_message() == "Changed name: “France” → “Frankreich”; continent: nothing → “Europe”."

    def test_an_addition_lists_the_values(self, admin_client):
        admin_client.post(f"{COUNTRIES}add/", {"id_country": "170", "country_name": "France"})

        assert last_message() == "Added. With ID: nothing → “170”; name: nothing → “France”."

    def test_saving_without_a_change_is_not_recorded(self, admin_client, france):
        admin_client.post(f"{COUNTRIES}170/change/", {"country_name": "France"})

        assert not LogEntry.objects.exists()

    def test_a_deletion_is_recorded(self, admin_client, france):
        admin_client.post(f"{COUNTRIES}170/delete/", {"post": "yes"})

        entry = LogEntry.objects.get()
        assert (entry.action_flag, entry.object_repr) == (DELETION, "France")

    def test_added_and_removed_groups_and_permissions_are_listed(self, admin_client):
        user = User.objects.create_user("ann")
        user.groups.add(Group.objects.get(name="Viewer"))
        group = Group.objects.get(name="Analyst")

        admin_client.post(f"{USERS}{user.pk}/change/", {**form_of(user), "groups": [group.pk]})
        assert last_message() == "Changed groups: added Analyst, removed Viewer."

        admin_client.post(f"{GROUP_PAGES}{group.pk}/change/", {"name": "Analysts", "permissions": []})
        assert last_message().startswith("Changed name: “Analyst” → “Analysts”; permissions: removed ")

    def test_a_change_of_an_api_key_is_recorded(self, admin_client):
        create_key("shop", ["ingest"])
        page = f"{KEYS}{APIKey.objects.get().pk}/change/"

        admin_client.post(page, {"scopes": ["read"], "expiry_date_0": "2999-12-31", "expiry_date_1": "12:00:00"})

        assert "scopes: added read, removed ingest" in last_message()
        assert "expires: nothing → “2999-12-31 12:00:00”" in last_message().lower()

    def test_long_texts_are_cut_to_the_part_that_differs(self, admin_client):
        rejected = rejected_event(EVENT.replace("57.27456", "much"))

        page = f"{REJECTED}{rejected.pk}/change/"
        form = admin_client.get(page).context["adminform"].form

        edited = form.initial["edited"].replace("much", "12.5")
        admin_client.post(page, {"edited": edited, "version": form.version, "_save": "1"})

        assert "much" in last_message()
        assert "12.5" in last_message()
        assert len(last_message()) < 200

    def test_a_replay_of_several_events_is_one_entry(self, admin_client):
        ids = [rejected_event(EVENT).pk for _ in range(3)]

        admin_client.post(REJECTED, {"action": "replay_selected", "_selected_action": ids})

        entry = LogEntry.objects.get()
        assert (entry.object_repr, entry.change_message) == ("3 events", "Replay: 3 stored as new sales.")

    def test_a_password_change_is_recorded_without_the_password(self, admin_client):
        user = User.objects.create_user("ann", password=PASSWORD)
        new = {"password1": "a wholly new one", "password2": "a wholly new one"}

        admin_client.post(f"{USERS}{user.pk}/password/", new | {"usable_password": "true"})
        assert last_message() == "Changed password."

        client = staff_client()
        own = {"old_password": PASSWORD, "new_password1": "a wholly new one", "new_password2": "a wholly new one"}
        client.post("/admin/password_change/", own)
        assert last_message() == "Changed their own password."
        assert not LogEntry.objects.filter(change_message__contains="wholly").exists()
        assert not LogEntry.objects.filter(change_message__contains="md5").exists()

    def test_a_new_user_is_recorded_without_the_password(self, admin_client):
        new = {"username": "ann", "password1": "a wholly new one", "password2": "a wholly new one"}

        admin_client.post(f"{USERS}add/", new | {"usable_password": "true"})

        assert last_message() == "Added. With username: nothing → “ann”; password; password confirmation."


class TestHistory:
    def test_each_entry_has_its_time_user_and_change(self, admin_client, admin_user, france):
        LogEntry.objects.log_actions(admin_user.pk, [france], CHANGE, "<b>bold</b>")
        LogEntry.objects.update(action_time="2021-06-01T12:00Z")

        page = text_of(admin_client.get(f"{COUNTRIES}170/history/"))

        assert "<tr><td>2021-06-01 12:00:00</td><td>admin</td><td>&lt;b&gt;bold&lt;/b&gt;</td></tr>" in page

    def test_a_long_history_has_pages(self, admin_client, admin_user, france):
        for _ in range(101):
            LogEntry.objects.log_actions(admin_user.pk, [france], CHANGE, "Changed.")

        second = text_of(admin_client.get(f"{COUNTRIES}170/history/?p=2"))

        assert second.count("<td>Changed.</td>") == 1
        assert '<a href="?p=1">1</a> <span aria-current="page">2</span>' in second


class TestPage:
    @pytest.fixture
    def entries(self, france, admin_user):
        ann = User.objects.create_user("ann")
        LogEntry.objects.log_actions(ann.pk, [france], CHANGE, "Changed by ann.")
        LogEntry.objects.log_actions(admin_user.pk, [ann], ADDITION, "Added by admin.")
        LogEntry.objects.update(action_time="2021-06-01T12:00Z")
        LogEntry.objects.log_actions(admin_user.pk, [france], DELETION, "Gone by admin.")

    @pytest.fixture
    def listed(self, admin_client, entries):
        def messages(**query):
            return [entry.change_message for entry in admin_client.get(LOG, query).context["cl"].result_list]

        return messages

    def test_the_newest_entries_are_first(self, listed):
        assert listed() == ["Gone by admin.", "Added by admin.", "Changed by ann."]

    def test_entries_are_filtered_by_user_action_kind_and_day(self, listed):
        kind = ContentType.objects.get_for_model(Country).pk

        assert listed(user__id__exact=User.objects.get(username="ann").pk) == ["Changed by ann."]
        assert listed(action_flag__exact=ADDITION) == ["Added by admin."]
        assert listed(content_type=kind) == ["Gone by admin.", "Changed by ann."]
        assert listed(action_time_from="2021-06-01", action_time_to="2021-06-01") == [
            "Added by admin.",
            "Changed by ann.",
        ]

    @pytest.mark.parametrize(
        ("url", "titles"),
        [(LOG, ["action", "kind", "when (UTC)"]), (LOGINS, ["when (UTC)"]), (FAILED, ["when (UTC)"])],
    )
    def test_the_filters_have_the_words_of_the_columns(self, admin_client, url, titles):
        log_in(Client(), "admin", "wrong")

        page = admin_client.get(url)

        assert [str(spec.title) for spec in page.context["cl"].filter_specs] == titles
        assert "<legend>When (UTC)</legend>" in text_of(page)

    def test_an_entry_links_to_the_changed_row_for_users_who_may_see_it(self, admin_client, entries):
        reader = staff_client("admin.view_logentry")

        assert f'href="{COUNTRIES}170/change/"' in text_of(admin_client.get(LOG))
        assert f'href="{COUNTRIES}170/change/"' not in text_of(reader.get(LOG))

    def test_entries_are_read_only(self, admin_client, entries):
        entry = LogEntry.objects.first()

        assert admin_client.get(f"{LOG}add/").status_code == 403
        assert admin_client.post(f"{LOG}{entry.pk}/delete/", {"post": "yes"}).status_code == 403
        assert admin_client.post(f"{LOG}{entry.pk}/change/", {"change_message": "x"}).status_code == 403
        assert LogEntry.objects.count() == 3

    def test_markup_in_a_message_is_escaped(self, admin_client, admin_user, france):
        LogEntry.objects.log_actions(admin_user.pk, [france], CHANGE, "<b>bold</b>")

        assert "&lt;b&gt;bold" in text_of(admin_client.get(LOG))

    def test_the_page_reads_a_limited_number_of_rows_in_few_queries(self, admin_client, admin_user, monkeypatch):
        monkeypatch.setattr("salesengine.backoffice.base.MAX_LISTED_ROWS", 100)
        kind = ContentType.objects.get_for_model(RejectedEvent)
        entry = {"user": admin_user, "content_type": kind, "object_id": "1", "object_repr": "x", "action_flag": CHANGE}
        LogEntry.objects.bulk_create([LogEntry(**entry) for _ in range(300)])

        with CaptureQueriesContext(connection) as queries:
            page = admin_client.get(LOG)

        assert page.context["cl"].result_count == 100
        assert len(queries) <= 8
