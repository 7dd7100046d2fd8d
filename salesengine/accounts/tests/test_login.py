"""Logins: lockouts, client addresses, sessions, and their cost for the API."""

from datetime import timedelta

import pytest
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sales.ingest.schema import EXAMPLE
from salesengine.accounts.api_keys import create_key
from salesengine.http.client_address import client_address
from salesengine.tests.clients import LOG_IN, PASSWORD, enrol, is_in, log_in, staff_client, text_of

pytestmark = pytest.mark.django_db
ELSEWHERE = {"REMOTE_ADDR": "203.0.113.9"}


def fail(client, times, **changes):
    """Send this number of wrong passwords. Returns the last response."""
    for _ in range(times):
        response = log_in(client, password="wrong", **changes)
    return response


class TestLockouts:
    def test_the_fifth_failure_locks_the_login_and_shows_how_long(self, client, jo):
        assert fail(client, 4).status_code == 200
        response = fail(client, 1)

        assert (response.status_code, response["Retry-After"]) == (429, "900")
        assert "15 minutes" in text_of(response)
        assert "ask an administrator" in text_of(response)

    def test_a_locked_login_refuses_the_right_password(self, client, jo):
        fail(client, 5)

        assert log_in(client).status_code == 429
        assert not is_in(client)

    def test_attempts_during_a_lockout_do_not_extend_it(self, client, jo):
        fail(client, 5)
        AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=14, seconds=30))

        assert "1 minute<" in text_of(fail(client, 3))

    def test_a_lockout_ends_after_15_minutes(self, client, jo):
        fail(client, 5)
        AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=15, seconds=1))

        log_in(client)

        assert is_in(client)

    def test_a_command_ends_a_lockout(self, client, jo):
        fail(client, 5)
        call_command("axes_reset_username", "jo")

        log_in(client)

        assert is_in(client)

    def test_an_administrator_can_end_a_lockout_and_the_audit_log_records_it(self, client, jo):
        fail(client, 5)
        administrator = staff_client(group="Administrator", name="ann")

        administrator.post("/admin/auth/user/", {"action": "unlock", "_selected_action": [jo.pk]})
        log_in(client)

        assert is_in(client)
        assert LogEntry.objects.get().change_message == "Unlocked the login."

    def test_a_login_resets_the_count_of_failures(self, client, jo):
        for _ in range(3):
            fail(client, 4)
            log_in(client)

        assert is_in(client)

    def test_other_users_and_other_addresses_are_not_locked_out(self, client, jo):
        User.objects.create_superuser("ann", password=PASSWORD)
        fail(client, 5)

        log_in(client, "ann")
        assert is_in(client)
        client.logout()
        client.post(LOG_IN, {"username": "jo", "password": PASSWORD}, **ELSEWHERE)
        assert is_in(client)

    def test_an_unknown_username_is_locked_out_too(self, client):
        assert fail(client, 5, name="nobody").status_code == 429

    def test_a_username_that_is_too_long_is_a_wrong_one(self, client):
        too_long, unknown = (log_in(client, name=name).context["form"].errors for name in ("n" * 300, "nobody"))

        assert too_long == unknown

    def test_a_forged_client_address_is_ignored(self, client, jo):
        for number in range(5):
            headers = {"X-Forwarded-For": f"192.0.2.{number}"}
            response = client.post(LOG_IN, {"username": "jo", "password": "wrong"}, headers=headers)

        assert response.status_code == 429

    def test_open_sessions_survive_a_lockout(self, client, jo):
        other = staff_client(name="ann")
        fail(client, 5, name="ann")

        assert is_in(other)

    def test_api_keys_work_during_a_lockout(self, client, api, jo, settings):
        settings.API_KEY_REQUIRED = True
        key = create_key("jo", ["read"])
        fail(client, 5)

        assert api.get("/feedback", headers={"Authorization": f"Api-Key {key}"}).status_code == 200

    def test_passwords_and_codes_of_failed_logins_are_not_stored(self, client, jo):
        enrol(jo)
        log_in(client, password="almost-my-secret")
        log_in(client, code="123456")

        rows = f"{AccessAttempt.objects.values().get()} {list(AccessFailureLog.objects.values())}"
        assert AccessFailureLog.objects.count() == 2
        assert "almost-my-secret" not in rows
        assert PASSWORD not in rows
        assert "123456" not in rows

    @pytest.mark.parametrize(
        ("url", "data"),
        [
            ("/admin/password_change/", {"old_password": "wrong"}),
            ("/admin/second-factor/", {"start": "1", "password": "wrong"}),
        ],
    )
    def test_wrong_passwords_on_other_pages_are_counted_and_logged_too(self, client, url, data):
        inside = staff_client()
        for _ in range(4):
            assert inside.post(url, data).status_code == 200

        assert inside.post(url, data).status_code == 429
        assert AccessFailureLog.objects.filter(username="jo", path_info=url).count() == 5
        assert log_in(client).status_code == 429


class TestAddresses:
    @pytest.mark.parametrize(
        ("proxies", "forwarded", "address"),
        [
            (0, "192.0.2.1", "198.51.100.7"),
            (1, "", "198.51.100.7"),
            (1, "192.0.2.1", "192.0.2.1"),
            (1, "192.0.2.66, 192.0.2.1", "192.0.2.1"),
            (2, "192.0.2.66, 192.0.2.1, 192.0.2.2", "192.0.2.1"),
            (2, "192.0.2.1", "198.51.100.7"),
            (1, "192.0.2.1:4711", "192.0.2.1"),
            (1, "[2001:db8::1]:4711", "2001:db8::1"),
            (1, "2001:db8::1", "2001:db8::1"),
            (1, "fe80::1%eth0", "fe80::1"),
            (1, "unknown", None),
        ],
    )
    def test_only_addresses_from_trusted_proxies_count(self, rf, settings, proxies, forwarded, address):
        settings.TRUSTED_PROXY_COUNT = proxies
        headers = {"X-Forwarded-For": forwarded} if forwarded else {}

        assert client_address(rf.get("/", headers=headers, REMOTE_ADDR="198.51.100.7")) == address

    def test_failures_are_counted_without_an_address_as_behind_a_unix_socket(self, client, jo):
        for _ in range(5):
            response = client.post(LOG_IN, {"username": "jo", "password": "wrong"}, REMOTE_ADDR="")

        assert response.status_code == 429

    def test_behind_a_proxy_lockouts_depend_on_the_client_address(self, client, jo, settings):
        settings.TRUSTED_PROXY_COUNT = 1
        for _ in range(5):
            client.post(LOG_IN, {"username": "jo", "password": "wrong"}, headers={"X-Forwarded-For": "192.0.2.1"})

        client.post(LOG_IN, {"username": "jo", "password": PASSWORD}, headers={"X-Forwarded-For": "192.0.2.2"})

        assert is_in(client)


class TestSessions:
    def test_a_session_ends_12_hours_after_the_login_despite_activity(self, client, jo):
        log_in(client)
        end = Session.objects.get().expire_date
        is_in(client)

        assert abs(end - timezone.now() - timedelta(hours=12)) < timedelta(minutes=1)
        assert Session.objects.get().expire_date == end
        Session.objects.update(expire_date=timezone.now())
        assert not is_in(client)

    def test_a_password_change_ends_all_other_sessions(self):
        here, there = staff_client(), staff_client(name="unused")
        there.force_login(here.user)
        new = {"old_password": PASSWORD, "new_password1": "a wholly new one", "new_password2": "a wholly new one"}

        assert here.post("/admin/password_change/", new).status_code == 302

        assert (is_in(here), is_in(there)) == (True, False)

    def test_deactivating_a_user_ends_their_sessions(self):
        client = staff_client()
        User.objects.update(is_active=False)

        assert not is_in(client)

    def test_the_session_cookie_is_http_only_and_same_site(self, client, jo):
        cookie = log_in(client).cookies["sessionid"]

        assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")

    @pytest.mark.parametrize("password", ["short-one-1", "123456789012345", "password1234", "jo"])
    def test_a_weak_password_is_refused(self, password):
        new = {"old_password": PASSWORD, "new_password1": password, "new_password2": password}

        assert staff_client().post("/admin/password_change/", new).status_code == 200


class TestAPICost:
    @pytest.fixture(autouse=True)
    def no_sessions(self, monkeypatch):
        def refuse(self, no_load=False):
            raise AssertionError("a session was opened")

        monkeypatch.setattr(SessionBase, "_session", property(refuse))

    def test_a_request_with_a_key_reads_no_users_and_no_sessions(self, api, settings):
        settings.API_KEY_REQUIRED = True
        key = create_key("shop", ["ingest"])
        headers = {"Authorization": f"Api-Key {key}"}
        api.post("/ingest", EXAMPLE, format="json", headers=headers)

        with CaptureQueriesContext(connection) as queries:
            assert api.post("/ingest", EXAMPLE, format="json", headers=headers).status_code == 201

        assert [query["sql"] for query in queries if any(table in query["sql"] for table in ACCOUNT_TABLES)] == []


ACCOUNT_TABLES = ("auth_", "django_session", "otp_", "axes_", "django_admin_log")


class TestLoginLists:
    def test_logins_and_logouts_are_listed(self, client, admin_client, jo):
        log_in(client)
        client.post("/admin/logout/")

        [login] = admin_client.get("/admin/axes/accesslog/?q=jo").context["cl"].result_list
        assert login.logout_time

    def test_failures_and_lockouts_are_listed(self, client, admin_client):
        fail(client, 5, name="mallory")

        locked_out = AccessFailureLog.objects.order_by("pk").values_list("locked_out", flat=True)
        assert list(locked_out) == [False, False, False, False, True]
        assert admin_client.get("/admin/axes/accessfailurelog/?q=mallory").context["cl"].result_count == 5

    @pytest.mark.parametrize(("words", "number"), [("mallory", 2), ("127.0.0.1", 3), ("203.0.113.9", 1), ("mal", 0)])
    def test_failures_are_found_by_complete_username_and_by_address(self, client, admin_client, words, number):
        fail(client, 2, name="mallory")
        fail(client, 1, name="eve")
        client.post(LOG_IN, {"username": "eve", "password": "wrong"}, **ELSEWHERE)

        page = admin_client.get("/admin/axes/accessfailurelog/", {"q": words})

        assert page.context["cl"].result_count == number

    @pytest.mark.parametrize("page", ["accesslog", "accessfailurelog"])
    def test_the_lists_are_read_only(self, admin_client, client, jo, page):
        fail(client, 1)
        log_in(client)

        assert admin_client.get(f"/admin/axes/{page}/add/").status_code == 403
        data = {"action": "delete_selected", "_selected_action": ["1"], "post": "yes"}
        admin_client.post(f"/admin/axes/{page}/", data)
        assert AccessLog.objects.filter(username="jo").count() == AccessFailureLog.objects.count() == 1
