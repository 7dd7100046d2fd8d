"""SECOND_FACTOR_REQUIRED: whoever lacks a second factor can only turn it on."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django_otp.plugins.otp_totp.models import TOTPDevice

from salesengine.apps import check_required_groups
from salesengine.tests.clients import PASSWORD, code_of, enrol, is_in, log_in, staff_client, text_of

pytestmark = pytest.mark.django_db
PAGE = "/admin/second-factor/"


@pytest.fixture(autouse=True)
def required(settings):
    settings.SECOND_FACTOR_REQUIRED = ["all"]


@pytest.mark.parametrize("url", ["/admin/", "/admin/password_change/", "/admin/sales/sale/", "/admin/search/?s=s"])
def test_all_pages_lead_to_the_page_that_turns_it_on(url):
    response = staff_client(group="Viewer").get(url, follow=True)

    assert response.redirect_chain[-1][0] == PAGE
    assert "You need it before you can open other pages." in text_of(response)
    assert "/admin/sales/sale/" not in text_of(response)


def test_a_login_leads_to_the_page_that_turns_it_on(client):
    User.objects.create_user("jo", password=PASSWORD, is_staff=True)

    log_in(client)

    assert client.get("/admin/", follow=True).redirect_chain[-1][0] == PAGE


def test_the_api_refuses_the_session(settings):
    settings.API_KEY_REQUIRED = True

    assert staff_client(group="Viewer").get("/feedback").status_code == 401


def test_forms_of_other_pages_change_nothing():
    client = staff_client(group="Administrator")

    client.post("/admin/auth/user/add/", {"username": "eve", "password1": PASSWORD, "password2": PASSWORD})

    assert not User.objects.filter(username="eve").exists()


def test_turning_it_on_opens_all_pages():
    client = staff_client()
    client.post(PAGE, {"start": "1", "password": PASSWORD})

    phone = TOTPDevice(key=client.session["proposed_second_factor"]["key"])
    client.post(PAGE, {"confirm": "1", "code": code_of(phone)})

    assert is_in(client)


def test_a_user_who_has_one_sees_all_pages(client):
    phone = enrol(User.objects.create_user("jo", password=PASSWORD, is_staff=True))

    log_in(client, code=code_of(phone))

    assert is_in(client)


def test_logging_out_is_possible():
    client = staff_client()

    assert "logged out" in text_of(client.post("/admin/logout/"))
    assert not client.session.keys()


def test_groups_can_be_named_instead_of_all(settings):
    settings.SECOND_FACTOR_REQUIRED = ["Operator", "Administrator"]

    in_a_named_group = staff_client(group="Operator")
    in_another_group = staff_client(group="Viewer", name="ann")

    assert (is_in(in_a_named_group), is_in(in_another_group)) == (False, True)


def test_without_the_setting_it_is_optional(settings):
    settings.SECOND_FACTOR_REQUIRED = []

    assert is_in(staff_client())


def test_anonymous_visitors_see_the_login_page():
    assert Client().get("/admin/")["Location"].startswith("/admin/login/")


@pytest.mark.parametrize(
    ("names", "ids"), [(["Operatr"], ["salesengine.E004"]), (["Operator"], []), (["all"], []), ([], [])]
)
def test_a_check_finds_groups_that_do_not_exist(settings, names, ids):
    settings.SECOND_FACTOR_REQUIRED = names

    assert [message.id for message in check_required_groups(databases=["default"])] == ids
