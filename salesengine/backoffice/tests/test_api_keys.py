"""Staff create, change and revoke API keys."""

import re
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection, transaction
from django.utils import timezone

from salesengine.accounts.api_keys import create_key, get_valid_key
from salesengine.accounts.models import APIKey
from salesengine.tests.clients import staff_client, text_of

pytestmark = pytest.mark.django_db
LIST = "/admin/salesengine/apikey/"
ADD = f"{LIST}add/"
SHOP = {"name": "shop", "scopes": ["ingest", "read"]}


def row(key):
    return APIKey.objects.get(prefix=key.partition(".")[0])


def page_of(key):
    return f"{LIST}{row(key).pk}/change/"


def listed(client, **query):
    return {key.name for key in client.get(LIST, query).context["cl"].queryset}


def errors(response):
    return [error for errors in response.context["errors"] for error in errors]


@pytest.fixture
def three_states():
    """A valid, an expired and a revoked key."""
    for name in ("valid", "expired", "revoked"):
        create_key(name, ["read"], timezone.now() + timedelta(days=1))
    APIKey.objects.filter(name="expired").update(expiry_date=datetime(2020, 1, 1, tzinfo=UTC))
    APIKey.objects.filter(name="revoked").update(revoked=True, expiry_date=None)


def test_a_new_key_is_shown_once_and_is_valid(admin_client):
    page = text_of(admin_client.post(ADD, SHOP, follow=True))

    key = re.search(r"<code[^>]*>(\S+)</code>", page)[1]
    assert get_valid_key(key).scopes == ["ingest", "read"]
    assert key not in text_of(admin_client.get(LIST))
    assert key not in text_of(admin_client.get(page_of(key)))


def test_a_new_key_is_in_no_cookie_and_in_no_cache(admin_client):
    response = admin_client.post(ADD, SHOP)

    key = re.search(r"<code[^>]*>(\S+)</code>", text_of(response))[1]
    assert (response.status_code, "no-store" in response["Cache-Control"]) == (200, True)
    assert key.partition(".")[2] not in response.cookies.output()


def test_the_same_form_creates_one_key(admin_client):
    opened = re.search('name="opened" value="(.+?)"', text_of(admin_client.get(ADD)))[1]
    admin_client.post(ADD, SHOP | {"opened": opened})

    response = admin_client.post(ADD, SHOP | {"opened": opened})

    key = APIKey.objects.get()
    [error] = errors(response)
    assert f'<a href="{LIST}{key.pk}/change/">the key {key.prefix}</a> was created for “shop”' in error
    assert f'<a href="{ADD}">' in error
    assert "Please correct the error" not in text_of(response)
    assert "opened" not in LogEntry.objects.get().change_message


@pytest.mark.django_db(transaction=True)
def test_a_second_click_waits_for_the_first_one_and_is_then_refused(admin_client):
    def click():
        response = admin_client.post(ADD, SHOP | {"opened": opened})
        connection.close()
        return response

    opened = timezone.now().isoformat()
    with ThreadPoolExecutor(1) as second:
        with transaction.atomic():
            create_key("shop", ["read"])
            response = second.submit(click)
            assert not wait([response], timeout=0.5).done
        assert "was created for “shop”" in errors(response.result())[0]

    assert APIKey.objects.count() == 1


def test_staff_cannot_prolong_a_key_that_may_do_more_than_they(client):
    client = staff_client("salesengine.view_apikey", "salesengine.change_apikey", "sales.view_sale")
    expiry = datetime(2900, 1, 1, tzinfo=UTC)
    for scopes, is_allowed in ((["read"], True), (["read", "ingest"], False)):
        key = create_key("shop", scopes, expiry)
        for date, time in (("2999-12-31", "0:00"), ("", "")):
            client.post(page_of(key), {"scopes": scopes, "expiry_date_0": date, "expiry_date_1": time})
            assert (row(key).expiry_date != expiry) is is_allowed
        client.post(page_of(key), {"scopes": scopes, "expiry_date_0": "2899-12-31", "expiry_date_1": "0:00"})
        assert is_allowed or row(key).expiry_date.year == 2899


@pytest.mark.parametrize("scope", ["ingest", "read", "reports"])
def test_staff_cannot_give_a_key_more_than_they_may_do(scope):
    client = staff_client("salesengine.add_apikey", "salesengine.change_apikey", "analytics.view_report")
    key = create_key("shop", ["read"])

    refused = client.post(ADD, SHOP | {"scopes": [scope]})
    client.post(page_of(key), {"scopes": ["read", scope], "expiry_date_0": "2999-12-31", "expiry_date_1": "0:00"})

    assert "more than you may do yourself" in errors(refused)[0]
    assert set(row(key).scopes) == {"read"}
    assert (row(key).expiry_date is None) is (scope != "read")  # a key keeps the scopes that it has


def test_staff_can_give_a_key_what_they_may_do():
    client = staff_client(group="Operator")

    client.post(ADD, SHOP | {"scopes": ["ingest", "read", "reports"]})

    assert APIKey.objects.get().scopes == ["ingest", "read", "reports"]


def test_markup_in_a_name_is_escaped(admin_client):
    page = text_of(admin_client.post(ADD, SHOP | {"name": "<b>shop</b>"}, follow=True))

    assert "&lt;b&gt;shop" in page
    assert "<b>shop" not in page


def test_a_key_can_have_an_expiry_date(admin_client):
    admin_client.post(ADD, SHOP | {"expiry_date_0": "2999-12-31", "expiry_date_1": "12:00:00"})

    assert APIKey.objects.get().expiry_date == datetime(2999, 12, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": " "}, "This field is required."),
        ({"name": "user:jo"}, "A name must not contain a colon (:)."),
        ({"name": "Anonymous"}, "The name “Anonymous” is reserved; choose another."),
        ({"scopes": []}, "This field is required."),
        ({"scopes": ["all"]}, "Select a valid choice. all is not one of the available choices."),
        ({"expiry_date_0": "2020-01-01", "expiry_date_1": "0:00"}, "Choose a time in the future."),
    ],
)
def test_the_form_refuses_an_invalid_key(admin_client, values, message):
    assert errors(admin_client.post(ADD, SHOP | values)) == [message]
    assert not APIKey.objects.exists()


def test_the_form_refuses_a_third_valid_key_with_advice(admin_client):
    for _ in range(3):
        response = admin_client.post(ADD, SHOP)

    [error] = errors(response)
    assert "“shop” already has 2 valid keys" in error
    assert "Revoke the one that it no longer uses" in error
    assert APIKey.objects.count() == 2


def test_an_expired_key_cannot_become_a_third_valid_one(admin_client):
    expired = create_key("shop", ["read"])
    APIKey.objects.update(expiry_date=datetime(2020, 1, 1, tzinfo=UTC))
    for _ in range(2):
        create_key("shop", ["read"])

    [error] = errors(admin_client.post(page_of(expired), {"scopes": ["read"]}))

    assert "“shop” already has 2 valid keys" in error
    assert row(expired).state == "expired"


def test_the_scopes_and_the_expiry_can_change_but_not_the_name(admin_client):
    key = create_key("shop", ["read"])
    change = {"name": "other", "scopes": ["reports"], "expiry_date_0": "2999-12-31", "expiry_date_1": "0:00"}

    assert admin_client.post(page_of(key), change).status_code == 302

    assert (row(key).name, row(key).scopes, row(key).expiry_date.year) == ("shop", ["reports"], 2999)


def test_a_change_saves_only_the_changed_fields(admin_client, monkeypatch):
    key = create_key("shop", ["read"])
    clean = APIKey.clean

    def revoked_meanwhile(self):
        APIKey.objects.update(revoked=True)
        clean(self)

    monkeypatch.setattr(APIKey, "clean", revoked_meanwhile)
    admin_client.post(page_of(key), {"scopes": ["reports"]})

    assert (row(key).scopes, row(key).revoked) == (["reports"], True)


def test_a_revoked_key_cannot_be_changed(admin_client):
    key = create_key("shop", ["read"])
    admin_client.post(page_of(key), {"scopes": ["read"], "revoked": "on"})

    response = admin_client.post(page_of(key), {"scopes": ["read"]})

    assert response.status_code == 403
    assert row(key).state == "revoked"
    assert 'name="_save"' not in text_of(admin_client.get(page_of(key)))


def test_several_keys_can_be_revoked_and_the_audit_log_records_it(admin_client, three_states):
    selected = list(APIKey.objects.values_list("pk", flat=True))

    page = admin_client.post(LIST, {"action": "revoke", "_selected_action": selected}, follow=True)

    assert "Revoked 2 API keys. Requests are refused within 5 seconds." in page.content.decode()
    assert listed(admin_client, state="revoked") == {"valid", "expired", "revoked"}
    assert LogEntry.objects.filter(change_message="Revoked.").count() == 2


def test_the_list_shows_prefix_scopes_expiry_and_state(admin_client, three_states):
    page = text_of(admin_client.get(LIST))

    for text in (*APIKey.objects.values_list("prefix", flat=True), "read", "2020-01-01 00:00:00", "never"):
        assert text in page
    assert re.findall(r'<td class="[^"]*field-state[^"]*"[^>]*>\s*(\w+)', page) == ["revoked", "expired", "valid"]


def test_times_say_that_they_are_in_utc(admin_client, three_states):
    pages = [text_of(admin_client.get(url)) for url in (LIST, f"{LIST}{APIKey.objects.get(name='valid').pk}/change/")]

    assert all("Last used (UTC)" in page and "Created (UTC)" in page for page in pages)
    assert "Expires (UTC)" in pages[0]


def test_the_list_can_be_sorted_by_expiry(admin_client, three_states):
    number = admin_client.get(LIST).context["cl"].list_display.index("expires_at")

    page = admin_client.get(LIST, {"o": number})

    assert [key.name for key in page.context["cl"].queryset] == ["expired", "valid", "revoked"]


def test_the_page_of_a_new_key_has_one_button_to_save(admin_client):
    for page in (text_of(admin_client.get(ADD)), text_of(admin_client.post(ADD, {}))):
        assert [name in page for name in ('name="_save"', "_addanother", "_continue")] == [True, False, False]


def test_no_page_shows_a_hash(admin_client):
    key = create_key("shop", ["read"])

    for url in (LIST, page_of(key)):
        assert "sha512" not in text_of(admin_client.get(url))


@pytest.mark.parametrize("state", ["valid", "expired", "revoked"])
def test_keys_are_filtered_by_state(admin_client, three_states, state):
    assert listed(admin_client, state=state) == {state}


def test_an_unknown_state_is_ignored(admin_client, three_states):
    assert listed(admin_client, state="lost") == {"valid", "expired", "revoked"}


def test_keys_are_found_by_name_and_by_prefix(admin_client, three_states):
    prefix = APIKey.objects.get(name="valid").prefix

    assert listed(admin_client, q="expi") == {"expired"}
    assert listed(admin_client, q=prefix) == {"valid"}


def test_the_librarys_own_keys_have_no_page(admin_client):
    index = text_of(admin_client.get("/admin/"))

    assert LIST in index
    assert "rest_framework_api_key" not in index


@pytest.mark.parametrize(("action", "statuses"), [("view", (200, 403)), ("add", (403, 200)), (None, (403, 403))])
def test_staff_need_the_permission(action, statuses):
    client = staff_client(*([f"salesengine.{action}_apikey"] if action else []))

    assert (client.get(LIST).status_code, client.get(ADD).status_code) == statuses


def test_the_view_permission_is_not_enough_to_revoke():
    key = create_key("shop", ["read"])

    staff_client("salesengine.view_apikey").post(LIST, {"action": "revoke", "_selected_action": [row(key).pk]})

    assert row(key).state == "valid"
