"""API keys: what they give access to, and for how long."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from cachetools import TTLCache
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient, APIRequestFactory
from rest_framework.views import APIView

from sales.api.views import FeedbackView
from salesengine.accounts import api_keys
from salesengine.accounts.api_keys import create_key, get_sender
from salesengine.accounts.models import APIKey, TooManyKeysError

pytestmark = pytest.mark.django_db
ALL = ["ingest", "read", "reports"]


@pytest.fixture
def keys_required(settings):
    settings.API_KEY_REQUIRED = True


@pytest.fixture
def clock(monkeypatch):
    """The clock of the key cache, in seconds. Tests advance it."""
    now = [0.0]
    monkeypatch.setattr(api_keys, "key_cache", TTLCache(10, api_keys.key_cache.ttl, timer=lambda: now[0]))
    return now


def with_key(key):
    return APIClient(headers={"Authorization": f"Api-Key {key}"})


def row(key):
    return APIKey.objects.get(prefix=key.partition(".")[0])


def change(key, **values):
    APIKey.objects.filter(prefix=key.partition(".")[0]).update(**values)


def ago(**duration):
    return timezone.now() - timedelta(**duration)


@pytest.mark.parametrize(("method", "path"), [("GET", "/feedback"), ("POST", "/ingest")])
@pytest.mark.usefixtures("keys_required")
class TestAccess:
    def test_a_request_without_a_key_is_refused(self, api, method, path):
        response = api.generic(method, path)

        assert (response.status_code, response["Content-Type"]) == (401, "application/problem+json")
        assert response["WWW-Authenticate"] == "Api-Key"
        assert "send the header Authorization: Api-Key" in response.json()["detail"]
        assert "manage.py create_api_key" in response.json()["detail"]

    @pytest.mark.parametrize("header", ["Api-Key wrong.key", "Api-Key", "Basic YTpi", "é"])
    def test_a_wrong_key_is_refused(self, api, method, path, header):
        response = api.generic(method, path, headers={"Authorization": header})

        assert (response.status_code, response["WWW-Authenticate"]) == (401, "Api-Key")

    def test_a_right_prefix_with_a_wrong_secret_is_refused(self, api, method, path):
        prefix = create_key("shop", ALL).partition(".")[0]

        assert with_key(f"{prefix}.guessed").generic(method, path).status_code == 401

    @pytest.mark.parametrize("header", ["Api-Key {}", "api-key {}", "Api-Key  {} "])
    def test_a_valid_key_is_accepted(self, api, method, path, header):
        authorization = header.format(create_key("shop", ALL))

        response = api.generic(method, path, headers={"Authorization": authorization})

        assert response.status_code not in {401, 403}

    @pytest.mark.parametrize("flaw", [{"revoked": True}, {"expiry_date": ago(seconds=1)}])
    def test_a_revoked_or_expired_key_is_refused(self, method, path, flaw):
        key = create_key("shop", ALL)
        change(key, **flaw)

        response = with_key(key).generic(method, path)

        assert (response.status_code, response["WWW-Authenticate"]) == (401, "Api-Key")
        assert response.json()["detail"] == "This API key is unknown, expired or revoked."

    def test_a_key_without_the_scope_is_refused(self, method, path):
        response = with_key(create_key("shop", ["reports"])).generic(method, path)

        scope = {"/feedback": "read", "/ingest": "ingest"}[path]
        assert (response.status_code, response["Content-Type"]) == (403, "application/problem+json")
        assert response.json()["detail"] == f"This requires an API key with the scope {scope}; yours has reports."
        assert "WWW-Authenticate" not in response


@pytest.mark.parametrize(("path", "scope"), [("/feedback", "read"), ("/ingest", "ingest")])
def test_one_scope_is_enough_for_its_endpoint(api, event, path, scope):
    client = with_key(create_key("shop", [scope]))

    response = client.get(path) if scope == "read" else client.post(path, event, format="json")

    assert response.status_code in {200, 201}


@pytest.mark.parametrize(("key", "status"), [("", 401), ("wrong.key", 401), ("reports", 403), ("read", 200)])
def test_a_key_is_checked_even_if_none_is_required(key, status):
    key = create_key("shop", [key]) if key in ALL else key

    assert with_key(key).get("/feedback").status_code == status


@pytest.mark.parametrize("is_key", [True, False])
def test_a_view_without_a_scope_refuses_everybody(is_key):
    class Scopeless(APIView):
        def get(self, request):
            return Response("in")

    headers = {"Authorization": f"Api-Key {create_key('shop', ALL)}"} if is_key else {}

    response = Scopeless.as_view()(APIRequestFactory(headers=headers).get("/"))

    assert response.status_code == (403 if is_key else 401)


@pytest.mark.usefixtures("keys_required")
def test_staff_can_post_from_the_docs_page(admin_user, event):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(admin_user)
    token = browser.get("/docs").cookies["csrftoken"].value

    responses = [
        browser.post("/ingest", json.dumps(event), content_type="application/json", headers=headers)
        for headers in ({"X-CSRFToken": token}, {})
    ]

    assert [response.status_code for response in responses] == [201, 403]
    assert responses[1]["Content-Type"] == "application/problem+json"


# Creating keys


def test_only_the_hash_of_a_key_is_stored():
    key = create_key("shop", ["read"])

    stored = " ".join(str(value) for value in vars(row(key)).values())
    assert key.partition(".")[2] not in stored
    assert row(key).hashed_key.startswith("sha512$$")


@pytest.mark.parametrize("name", ["", "  ", "a:b", "user:jo", "anonymous", "Files", "two\nlines", "n" * 51])
def test_invalid_and_reserved_client_names_are_refused(name):
    with pytest.raises(ValidationError):
        create_key(name, ["read"])


@pytest.mark.parametrize("scopes", [[], ["everything"], ["read", "write"]])
def test_missing_and_unknown_scopes_are_refused(scopes):
    with pytest.raises(ValidationError):
        create_key("shop", scopes)


def test_an_expiry_in_the_past_is_refused():
    with pytest.raises(ValidationError, match="in the future"):
        create_key("shop", ["read"], ago(seconds=1))


def test_blanks_around_a_name_and_repeated_scopes_are_removed():
    key = row(create_key("  web shop ", ["read", "ingest", "read"]))

    assert (key.name, key.scopes) == ("web shop", ["read", "ingest"])


# Two valid keys for each client


def test_a_third_valid_key_is_refused_with_advice():
    create_key("shop", ["read"])
    create_key("other", ["read"])
    create_key(" shop", ["read"], timezone.now() + timedelta(days=1))

    with pytest.raises(TooManyKeysError, match="Revoke the one that it no longer uses"):
        create_key("shop", ["read"])
    assert APIKey.objects.count() == 3


@pytest.mark.parametrize("end", [{"revoked": True}, {"expiry_date": ago(seconds=1)}])
def test_a_revoked_or_expired_key_does_not_count(end):
    old = create_key("shop", ["read"])
    create_key("shop", ["read"])
    change(old, **end)

    assert create_key("shop", ["read"])


@pytest.mark.django_db(transaction=True)
def test_concurrent_requests_create_at_most_two_valid_keys():
    def make(_):
        try:
            return create_key("shop", ["read"])
        except TooManyKeysError:
            return None
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        keys = list(threads.map(make, range(20)))

    assert len([key for key in keys if key]) == APIKey.objects.count() == 2


# The cache


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"revoked": True}, 401), ({"expiry_date": ago(seconds=1)}, 401), ({"scopes": ["reports"]}, 403)],
)
def test_a_change_takes_effect_within_five_seconds(clock, changes, status):
    key = create_key("shop", ["read"])
    statuses = [with_key(key).get("/feedback").status_code]
    change(key, **changes)

    for clock[0] in (4.9, 5.1):
        statuses.append(with_key(key).get("/feedback").status_code)

    assert statuses == [200, 200, status]


def test_a_cached_key_needs_no_query(clock, django_assert_num_queries):
    key = create_key("shop", ["read"])
    api_keys.record_use(api_keys.get_valid_key(key))

    with django_assert_num_queries(0):
        api_keys.record_use(api_keys.get_valid_key(key))


def test_a_cached_key_is_still_verified():
    key = create_key("shop", ["read"])
    with_key(key).get("/feedback")

    assert with_key(key[:-1] + "!").get("/feedback").status_code == 401


def test_a_cached_key_expires_on_time(clock, monkeypatch):
    end = timezone.now() + timedelta(hours=1)
    key = create_key("shop", ["read"], end)
    assert api_keys.get_valid_key(key)

    monkeypatch.setattr("django.utils.timezone.now", lambda: end + timedelta(microseconds=1))

    assert api_keys.get_valid_key(key) is None


def test_an_unknown_key_is_not_cached(clock):
    key = create_key("shop", ["read"])
    deleted = row(key)
    deleted.delete()
    assert api_keys.get_valid_key(key) is None

    deleted.save(force_insert=True)

    assert api_keys.get_valid_key(key)


# The last use


def test_the_first_use_is_recorded():
    key = create_key("shop", ["read"])
    assert row(key).last_used is None

    with_key(key).get("/feedback")

    assert row(key).last_used > ago(minutes=1)


@pytest.mark.parametrize(("last", "is_recorded"), [({"minutes": 9}, False), ({"minutes": 11}, True)])
def test_uses_are_recorded_every_ten_minutes(last, is_recorded):
    key = create_key("shop", ["read"])
    change(key, last_used=ago(**last))

    with_key(key).get("/feedback")

    assert (row(key).last_used > ago(minutes=1)) is is_recorded


def test_a_use_that_another_process_recorded_is_not_recorded_again():
    key = create_key("shop", ["read"])
    cached = api_keys.get_valid_key(key)
    change(key, last_used=(recorded := ago(minutes=5)))

    api_keys.record_use(cached)

    assert row(key).last_used == recorded


def test_a_failure_to_record_a_use_is_logged_once_and_fails_no_request(monkeypatch, caplog):
    key = create_key("shop", ["read"])

    def fail(self, **values):
        raise DatabaseError("cannot execute UPDATE in a read-only transaction")

    monkeypatch.setattr("django.db.models.query.QuerySet.update", fail)
    statuses = [with_key(key).get("/feedback").status_code for _ in range(3)]

    assert statuses == [200, 200, 200]
    assert caplog.text.count("Cannot store when") == 1
    assert key.partition(".")[2] not in caplog.text


@pytest.mark.django_db(transaction=True)
def test_a_request_does_not_wait_for_a_change_of_its_key():
    key = create_key("shop", ["read"])

    def get_feedback():
        try:
            return with_key(key).get("/feedback").status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread, transaction.atomic():
        APIKey.objects.select_for_update().get(prefix=key.partition(".")[0])
        assert thread.submit(get_feedback).result(timeout=60) == 200


# Senders


def sender_with(user=None, key=None):
    headers = {"Authorization": f"Api-Key {key}"} if key else {}
    request = APIRequestFactory(headers=headers).get("/feedback")
    if user:
        request.user = user
    view = FeedbackView()
    drf_request: Request = view.initialize_request(request)
    return get_sender(drf_request)


def test_both_keys_of_a_client_have_the_same_sender():
    assert {sender_with(key=create_key("web shop", ["read"])) for _ in range(2)} == {"web shop"}


def test_staff_and_anonymous_users_have_a_sender(admin_user):
    customer = User.objects.create_user("customer")

    assert [sender_with(), sender_with(customer), sender_with(admin_user)] == ["anonymous", "anonymous", "user:admin"]


# Documentation


def test_every_operation_documents_its_scope(api):
    document = api.get("/openapi.json").json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]

    assert operations
    for operation in operations:
        [scope] = operation["security"][0]["ApiKey"]
        assert f"the scope `{scope}`" in operation["description"]
        assert {"401", "403"} <= set(operation["responses"])


@pytest.mark.parametrize("boundary", ["", "; boundary=%FF", "; boundary=\xff"])
def test_a_malformed_form_is_refused(boundary):
    """Django looks for the CSRF token of a staff session in the form."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_user("u", is_staff=True))

    response = client.generic("POST", "/ingest", b"x", content_type=f"multipart/form-data{boundary}")

    assert response.status_code in {400, 403}
    assert response["Content-Type"] == "application/problem+json"
