"""The optional second factor: turning it on and off, logging in with it, and sessions that have not passed it."""

import re

import pytest
from axes.models import AccessAttempt
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from salesengine.accounts import second_factor
from salesengine.tests.clients import PASSWORD, code_of, enrol, is_in, log_in, staff_client, text_of

pytestmark = pytest.mark.django_db
PAGE = "/admin/second-factor/"


def wrong(code):
    """Return another code of six digits."""
    return f"{(int(code) + 1) % 1_000_000:06d}"


def messages_of(user):
    return list(LogEntry.objects.filter(user=user).order_by("pk").values_list("change_message", flat=True))


class TestLogin:
    def test_a_user_without_one_logs_in_with_the_password(self, client, jo):
        log_in(client)

        assert is_in(client)

    def test_a_user_with_one_is_asked_for_a_code_after_the_password(self, client, phone):
        page = text_of(log_in(client))

        assert 'name="otp_token"' in page
        assert "errornote" not in page
        assert not is_in(client)

    def test_a_wrong_password_does_not_lead_to_the_code(self, client, phone):
        assert 'name="otp_token"' not in text_of(log_in(client, password="wrong", code=code_of(phone)))

    @pytest.mark.parametrize("typed", ["{}", " {} ", "{:.3} {:>.3}"])
    def test_the_password_and_a_code_log_in(self, client, phone, typed):
        code = code_of(phone)

        log_in(client, code=f"{code[:3]} {code[3:]}" if ">" in typed else typed.format(code))

        assert is_in(client)

    def test_a_code_works_once(self, client, phone):
        code = code_of(phone)
        log_in(Client(), code=code)

        assert "This code is wrong" in text_of(log_in(client, code=code))
        assert not is_in(client)

    def test_a_wrong_code_is_refused_and_counted(self, client, phone):
        assert "This code is wrong" in text_of(log_in(client, code=wrong(code_of(phone))))

        assert AccessAttempt.objects.get().failures_since_start == 1
        assert not is_in(client)

    def test_a_right_password_without_a_code_is_not_counted_as_a_failure(self, client, phone):
        for _ in range(6):
            assert log_in(client).status_code == 200

    def test_the_fifth_wrong_code_locks_the_login(self, client, phone):
        for _ in range(5):
            TOTPDevice.objects.update(throttling_failure_timestamp=None, throttling_failure_count=0)
            response = log_in(client, code=wrong(code_of(phone)))

        assert response.status_code == 429
        assert log_in(client).status_code == 429

    def test_guessing_is_slowed_down(self, client, phone, settings):
        settings.OTP_TOTP_THROTTLE_FACTOR = 600  # seconds after the first wrong code, instead of one

        log_in(client, code=wrong(code_of(phone)))

        assert "Too many wrong codes" in text_of(log_in(client, code=code_of(phone)))

    def test_the_code_of_another_user_is_refused(self, client, phone):
        other = enrol(User.objects.create_user("ann"))

        log_in(client, code=code_of(other))

        assert not is_in(client)

    def test_a_recovery_code_works_once_and_the_audit_log_records_it(self, client, jo, phone):
        code = second_factor.make_recovery_codes(jo)[0]
        log_in(client, code=f"{code[:4]}-{code[4:]}".upper())
        assert is_in(client)
        assert messages_of(jo) == ["Logged in with a recovery code. Recovery codes left: 7."]

        client.logout()
        log_in(client, code=code)

        assert not is_in(client)

    def test_a_recovery_code_is_refused_if_the_user_has_none(self, client, phone):
        assert "This code is wrong" in text_of(log_in(client, code="abcdefgh"))
        assert AccessAttempt.objects.get().failures_since_start == 1


class TestSessions:
    def test_a_session_from_before_the_second_factor_is_anonymous(self):
        client = staff_client()
        enrol(client.user)

        assert client.get("/admin/")["Location"].startswith("/admin/login/")

    @pytest.mark.parametrize("has_code", [False, True])
    def test_the_api_accepts_only_sessions_that_passed_the_second_factor(self, settings, has_code):
        settings.API_KEY_REQUIRED = True
        client = staff_client("sales.view_sale")
        assert client.get("/feedback").status_code == 200
        phone = enrol(client.user)
        if has_code:
            log_in(client, code=code_of(phone))

        assert client.get("/feedback").status_code == (200 if has_code else 401)

    def test_a_session_is_bound_to_the_device_whose_code_it_passed(self, client, phone, jo):
        log_in(client, code=code_of(phone))
        second_factor.remove_second_factor(jo)
        assert is_in(client)

        enrol(jo)

        assert not is_in(client)

    def test_an_unconfirmed_device_is_not_a_second_factor(self, client, jo):
        TOTPDevice.objects.create(user=jo, confirmed=False)
        log_in(client)

        assert is_in(client)

    def test_the_check_costs_no_query(self, client, phone, django_assert_num_queries):
        log_in(client, code=code_of(phone))

        with django_assert_num_queries(4):  # session, user, and the permissions of the user and of the groups
            client.get("/admin/password_change/")


def start(client):
    """Enter the password on the page. Returns the page and the proposed device."""
    page = text_of(client.post(PAGE, {"start": "1", "password": PASSWORD}))
    return page, TOTPDevice(key=client.session["proposed_second_factor"]["key"])


class TestTurningOn:
    def test_the_page_shows_a_secret_only_after_the_password(self):
        client = staff_client()

        for response in (client.get(PAGE), client.post(PAGE, {"start": "1", "password": "wrong"})):
            assert "<svg" not in text_of(response)
            assert "proposed_second_factor" not in client.session

        page, phone = start(client)
        assert "<svg" in page
        assert second_factor.secret_text(phone) in page

    def test_every_start_has_a_new_secret_that_only_its_session_knows(self, jo):
        clients = [staff_client(name="unused"), Client()]
        for client in clients:
            client.force_login(jo)

        secrets = {start(client)[1].key for client in [*clients, *clients]}

        assert len(secrets) == 4
        assert not TOTPDevice.objects.exists()

    def test_the_secret_of_another_session_cannot_be_confirmed(self, jo):
        here, there = staff_client(name="unused"), Client()
        for client in (here, there):
            client.force_login(jo)
        _, phone = start(there)
        start(here)

        here.post(PAGE, {"confirm": "1", "code": code_of(phone)})

        assert not TOTPDevice.objects.exists()

    def test_a_secret_expires_after_15_minutes(self):
        client = staff_client()
        _, phone = start(client)
        session = client.session
        session["proposed_second_factor"] |= {"until": 0}
        session.save()

        page = text_of(client.post(PAGE, {"confirm": "1", "code": code_of(phone)}, follow=True))

        assert "You took too long" in page
        assert not TOTPDevice.objects.exists()

    def test_the_qr_code_contains_a_totp_url(self, phone):
        assert phone.config_url.startswith("otpauth://totp/Sales%20Engine%3Ajo?secret=")

    def test_the_first_code_turns_it_on_and_shows_eight_recovery_codes_once(self):
        client = staff_client()
        _, phone = start(client)

        page = text_of(client.post(PAGE, {"confirm": "1", "code": code_of(phone)}))

        codes = re.findall(r"<li><code>(\w{8})</code>", page)
        assert set(codes) == set(StaticToken.objects.values_list("token", flat=True))
        assert len(codes) == 8
        assert codes[0] not in text_of(client.get(PAGE))
        assert "no-store" in client.get(PAGE)["Cache-Control"]

    def test_the_first_code_cannot_be_used_again_to_log_in(self, client):
        inside = staff_client()
        code = code_of(start(inside)[1])
        inside.post(PAGE, {"confirm": "1", "code": code})

        log_in(client, code=code)

        assert not is_in(client)

    def test_turning_it_on_ends_all_other_sessions(self):
        here, there = staff_client(), staff_client(name="unused")
        there.force_login(here.user)

        here.post(PAGE, {"confirm": "1", "code": code_of(start(here)[1])})

        assert (is_in(here), is_in(there)) == (True, False)
        assert messages_of(here.user) == ["Turned the second factor on."]

    def test_a_wrong_code_does_not_turn_it_on_and_keeps_the_secret(self):
        client = staff_client()
        _, phone = start(client)

        page = text_of(client.post(PAGE, {"confirm": "1", "code": wrong(code_of(phone))}))

        assert "This code is wrong" in page
        assert second_factor.secret_text(phone) in page
        assert not TOTPDevice.objects.exists()

    def test_the_account_menu_links_to_the_page(self):
        page = text_of(staff_client().get("/admin/"))

        assert f'href="{PAGE}"' in page
        assert 'href="/admin/password_change/"' in page


class TestTurningOff:
    @pytest.fixture
    def inside(self, phone, jo):
        """A session that has passed the second factor and used up its code."""
        client = Client()
        log_in(client, code=code_of(phone))
        return client

    @pytest.mark.parametrize("proof", ["password", "code", "recovery code"])
    def test_the_password_or_a_code_turns_it_off(self, inside, phone, jo, proof):
        recovery = second_factor.make_recovery_codes(jo)[0]
        proofs = {"password": PASSWORD, "code": code_of(phone, steps=1), "recovery code": recovery}

        inside.post(PAGE, {"off": "1", "proof": proofs[proof]})

        assert not TOTPDevice.objects.exists()
        assert not StaticToken.objects.exists()
        assert is_in(inside)
        assert messages_of(jo) == ["Turned the second factor off."]

    @pytest.mark.parametrize("button", ["off", "codes"])
    @pytest.mark.parametrize("proof", ["", "wrong", "000000", "abcdefgh"])
    def test_without_a_password_or_a_code_nothing_changes(self, inside, button, proof):
        inside.post(PAGE, {button: "1", "proof": proof})

        assert TOTPDevice.objects.get().confirmed
        assert not StaticToken.objects.exists()

    @pytest.mark.parametrize("proof", ["a wrong password", "000000", "abcdefgh"])
    def test_wrong_passwords_and_codes_lock_the_login(self, inside, proof):
        for _ in range(5):
            response = inside.post(PAGE, {"off": "1", "proof": proof})

        assert response.status_code == 429

    @pytest.mark.parametrize("password", ["password", "123456"])
    def test_a_short_password_is_not_taken_for_a_code(self, client, phone, jo, password):
        jo.set_password(password)
        jo.save()
        log_in(client, password=password, code=code_of(phone))

        client.post(PAGE, {"off": "1", "proof": password})

        assert not TOTPDevice.objects.exists()

    def test_new_recovery_codes_replace_the_old_ones(self, inside, jo):
        before = second_factor.make_recovery_codes(jo)

        page = text_of(inside.post(PAGE, {"codes": "1", "proof": PASSWORD}))

        after = re.findall(r"<li><code>(\w{8})</code>", page)
        assert len(after) == 8
        assert not set(before) & set(after)
        assert not second_factor.use_code(jo, before[0])


class TestAdministrators:
    def test_an_administrator_can_remove_it_and_the_audit_log_records_it(self, client, phone, jo):
        administrator = staff_client(group="Administrator", name="ann")
        data = {"action": "remove_second_factors", "_selected_action": [jo.pk]}

        administrator.post("/admin/auth/user/", data)

        log_in(client)
        assert is_in(client)
        entry = LogEntry.objects.get(user=administrator.user)
        assert (entry.object_id, entry.change_message) == (str(jo.pk), "Removed the second factor.")

    def test_only_superusers_can_remove_that_of_a_superuser(self, client, phone, jo):
        User.objects.filter(pk=jo.pk).update(is_superuser=True)
        administrator = staff_client(group="Administrator", name="ann")

        administrator.post("/admin/auth/user/", {"action": "remove_second_factors", "_selected_action": [jo.pk]})

        assert TOTPDevice.objects.exists()

    def test_the_view_permission_is_not_enough_to_remove_it(self, phone, jo):
        viewer = staff_client("auth.view_user", name="ann")

        viewer.post("/admin/auth/user/", {"action": "remove_second_factors", "_selected_action": [jo.pk]})

        assert TOTPDevice.objects.exists()

    def test_the_list_and_the_page_of_a_user_show_whether_they_have_one(self, admin_client, admin_user, phone, jo):
        page = text_of(admin_client.get("/admin/auth/user/"))
        assert re.findall(r'"field-has_second_factor.*?title="(\w+)"', page, re.DOTALL) == ["No", "Yes"]

        for user, shown in ((admin_user, "No"), (jo, "Yes")):
            page = text_of(admin_client.get(f"/admin/auth/user/{user.pk}/change/"))
            assert re.search(r'.*Second factor\b.*?title="(\w+)"', page, re.DOTALL)[1] == shown

    @pytest.mark.parametrize("model", ["otp_totp/totpdevice", "otp_static/staticdevice"])
    def test_no_page_shows_the_secrets(self, admin_client, phone, model):
        assert admin_client.get(f"/admin/{model}/").status_code == 404
