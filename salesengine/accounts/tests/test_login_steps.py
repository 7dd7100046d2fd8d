"""The two steps of a login with a second factor, and what ends them."""

import pytest
from django.test import Client

from salesengine.accounts.login import PENDING
from salesengine.tests.clients import LOG_IN, PASSWORD, code_of, is_in, log_in, text_of

pytestmark = pytest.mark.django_db


def send_code(client, code):
    return client.post(f"{LOG_IN}?next=/admin/", {"otp_token": code})


def test_the_page_for_the_code_contains_neither_the_password_nor_the_username(client, phone):
    page = text_of(log_in(client))

    assert 'name="otp_token"' in page
    assert PASSWORD not in page
    assert 'name="password"' not in page
    assert 'name="username"' not in page


def test_between_the_steps_the_session_is_anonymous(client, phone, settings):
    settings.API_KEY_REQUIRED = True
    log_in(client)

    assert not is_in(client)
    assert client.get("/feedback").status_code == 401


def test_a_code_without_the_password_is_refused(client, phone):
    assert "Log in again" in text_of(send_code(client, code_of(phone)))
    assert not is_in(client)


def test_the_code_belongs_to_the_session_that_sent_the_password(client, phone):
    log_in(client)
    other = Client()

    send_code(other, code_of(phone))

    assert not is_in(other)


def test_five_minutes_after_the_password_the_code_is_refused(client, phone):
    log_in(client)
    session = client.session
    session[PENDING] |= {"until": session[PENDING]["until"] - 5 * 60}
    session.save()

    assert "You took too long" in text_of(send_code(client, code_of(phone)))
    assert not is_in(client)


@pytest.mark.parametrize("change", ["password", "is_active", "is_staff"])
def test_a_change_of_the_user_ends_the_login(client, phone, jo, change):
    log_in(client)
    if change == "password":
        jo.set_password("a wholly new one")
    else:
        setattr(jo, change, False)
    jo.save()

    assert "Log in again" in text_of(send_code(client, code_of(phone)))
    assert not is_in(client)


def test_a_login_gets_a_new_session_key_and_forgets_the_first_step(client, phone):
    log_in(client)
    before = client.session.session_key

    send_code(client, code_of(phone))

    assert is_in(client)
    assert client.session.session_key != before
    assert PENDING not in client.session


def test_a_new_session_key_also_replaces_that_of_an_older_login(client, phone, jo):
    client.force_login(jo)  # without a code
    before = client.session.session_key

    log_in(client, code=code_of(phone))

    assert client.session.session_key != before


def test_an_unknown_username_looks_like_a_wrong_password(client, phone):
    pages = [text_of(log_in(Client(), name=name, password="wrong")) for name in ("jo", "xx")]

    texts = [page[page.index("<form") :].replace('value="jo"', 'value="xx"') for page in pages]
    assert remove_tokens(texts[0]) == remove_tokens(texts[1])


def remove_tokens(page):
    return [line for line in page.splitlines() if "csrfmiddlewaretoken" not in line]


def test_wrong_codes_lock_the_login_even_between_right_passwords(client, phone):
    for _ in range(5):
        type(phone).objects.update(throttling_failure_timestamp=None, throttling_failure_count=0)
        response = log_in(client, code="000000")

    assert response.status_code == 429
    type(phone).objects.update(throttling_failure_timestamp=None, throttling_failure_count=0)
    assert send_code(client, code_of(phone)).status_code == 429
