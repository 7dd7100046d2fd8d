"""Staff make, change and revoke API keys."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.utils import timezone

from salesengine.accounts.api_keys import create_key, get_valid_key
from salesengine.accounts.models import APIKey

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


def test_a_new_key_is_shown_once_and_works(admin_client):
    page = admin_client.post(ADD, SHOP, follow=True).content.decode()

    key = re.search(r"<code[^>]*>(\S+)</code>", page)[1]
    assert get_valid_key(key).scopes == ["ingest", "read"]
    assert key not in admin_client.get(LIST).content.decode()
    assert key not in admin_client.get(page_of(key)).content.decode()


def test_a_name_is_shown_as_text(admin_client):
    page = admin_client.post(ADD, SHOP | {"name": "<b>shop</b>"}, follow=True).content.decode()

    assert "&lt;b&gt;shop" in page
    assert "<b>shop" not in page


def test_a_key_may_expire(admin_client):
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
def test_a_key_that_cannot_be_is_refused_in_the_form(admin_client, values, message):
    assert errors(admin_client.post(ADD, SHOP | values)) == [message]
    assert not APIKey.objects.exists()


def test_a_third_valid_key_is_refused_in_the_form_with_what_to_do(admin_client):
    for _ in range(3):
        response = admin_client.post(ADD, SHOP)

    [error] = errors(response)
    assert "“shop” already has 2 valid keys" in error
    assert "Revoke the one that it no longer uses" in error
    assert APIKey.objects.count() == 2


def test_an_expired_key_is_not_made_a_third_valid_one(admin_client):
    expired = create_key("shop", ["read"])
    APIKey.objects.update(expiry_date=datetime(2020, 1, 1, tzinfo=UTC))
    for _ in range(2):
        create_key("shop", ["read"])

    [error] = errors(admin_client.post(page_of(expired), {"scopes": ["read"]}))

    assert "“shop” already has 2 valid keys" in error
    assert row(expired).state == "expired"


def test_scopes_and_expiry_can_be_changed_and_the_name_cannot(admin_client):
    key = create_key("shop", ["read"])
    change = {"name": "other", "scopes": ["reports"], "expiry_date_0": "2999-12-31", "expiry_date_1": "0:00"}

    assert admin_client.post(page_of(key), change).status_code == 302

    assert (row(key).name, row(key).scopes, row(key).expiry_date.year) == ("shop", ["reports"], 2999)


def test_a_change_writes_nothing_but_what_was_changed(admin_client, monkeypatch):
    key = create_key("shop", ["read"])
    clean = APIKey.clean

    def revoked_meanwhile(self):
        APIKey.objects.update(revoked=True)
        clean(self)

    monkeypatch.setattr(APIKey, "clean", revoked_meanwhile)
    admin_client.post(page_of(key), {"scopes": ["reports"]})

    assert (row(key).scopes, row(key).revoked) == (["reports"], True)


def test_a_key_is_revoked_on_its_page_for_good(admin_client):
    key = create_key("shop", ["read"])
    admin_client.post(page_of(key), {"scopes": ["read"], "revoked": "on"})

    response = admin_client.post(page_of(key), {"scopes": ["read"]})

    assert response.status_code == 403
    assert row(key).state == "revoked"
    assert 'name="_save"' not in admin_client.get(page_of(key)).content.decode()


def test_several_keys_are_revoked_at_once_and_it_is_on_record(admin_client, three_states):
    selected = list(APIKey.objects.values_list("pk", flat=True))

    page = admin_client.post(LIST, {"action": "revoke", "_selected_action": selected}, follow=True)

    assert "Revoked 2 API keys. Requests are refused within 5 seconds." in page.content.decode()
    assert listed(admin_client, state="revoked") == {"valid", "expired", "revoked"}
    assert LogEntry.objects.filter(change_message="Revoked.").count() == 2


def test_the_list_shows_what_matters(admin_client, three_states):
    page = admin_client.get(LIST).content.decode()

    for text in (*APIKey.objects.values_list("prefix", flat=True), "read", "2020-01-01 00:00:00", "never"):
        assert text in page
    assert re.findall(r'<td class="[^"]*field-state[^"]*"[^>]*>\s*(\w+)', page) == ["revoked", "expired", "valid"]


def test_no_page_shows_a_hash(admin_client):
    key = create_key("shop", ["read"])

    for address in (LIST, page_of(key)):
        assert "sha512" not in admin_client.get(address).content.decode()


@pytest.mark.parametrize("state", ["valid", "expired", "revoked"])
def test_keys_are_filtered_by_state(admin_client, three_states, state):
    assert listed(admin_client, state=state) == {state}


def test_an_unknown_state_filters_nothing(admin_client, three_states):
    assert listed(admin_client, state="lost") == {"valid", "expired", "revoked"}


def test_keys_are_found_by_name_and_by_prefix(admin_client, three_states):
    prefix = APIKey.objects.get(name="valid").prefix

    assert listed(admin_client, q="expi") == {"expired"}
    assert listed(admin_client, q=prefix) == {"valid"}


def test_only_the_projects_own_keys_are_in_the_back_office(admin_client):
    index = admin_client.get("/admin/").content.decode()

    assert LIST in index
    assert "rest_framework_api_key" not in index


@pytest.mark.parametrize(("right", "statuses"), [("view", (200, 403)), ("add", (403, 200)), (None, (403, 403))])
def test_staff_need_the_right_to_it(client, right, statuses):
    user = User.objects.create_user("staff", is_staff=True)
    if right:
        user.user_permissions.add(
            Permission.objects.get(codename=f"{right}_apikey", content_type__app_label="salesengine")
        )
    client.force_login(user)

    assert (client.get(LIST).status_code, client.get(ADD).status_code) == statuses


def test_who_may_only_look_cannot_revoke(client):
    key = create_key("shop", ["read"])
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_apikey", content_type__app_label="salesengine"))
    client.force_login(user)

    client.post(LIST, {"action": "revoke", "_selected_action": [row(key).pk]})

    assert row(key).state == "valid"
