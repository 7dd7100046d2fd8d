"""The page on which users change their password, and what browsers may store of the back office."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from salesengine.tests.clients import PASSWORD, is_in, log_in, staff_client, text_of

pytestmark = pytest.mark.django_db
PAGE = "/admin/password_change/"
NEW = "a wholly new one"


class TestPassword:
    def test_it_is_changed_and_the_page_says_so(self):
        client = staff_client()
        data = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}

        page = text_of(client.post(PAGE, data, follow=True))

        assert "Your password was changed." in page
        assert User.objects.get().check_password(NEW)
        assert is_in(client)

    def test_a_wrong_password_is_refused_in_plain_words(self):
        data = {"old_password": "wrong", "new_password1": NEW, "new_password2": NEW}

        page = text_of(staff_client().post(PAGE, data))

        assert "This is not your password." in page
        assert User.objects.get().check_password(PASSWORD)


class TestCaching:
    @pytest.mark.parametrize(
        "url",
        [
            *(
                "/admin/",
                "/admin/auth/user/",
                "/admin/auth/user/add/",
                "/admin/search/?s=user",
                "/admin/second-factor/",
            ),
            *(PAGE, "/admin/password_change/done/", "/admin/jsi18n/"),
        ],
    )
    def test_no_page_of_the_back_office_is_stored(self, admin_client, url):
        response = admin_client.get(url)

        assert response.status_code == 200
        assert "no-store" in response["Cache-Control"]

    def test_neither_the_login_nor_the_logout_page_is_stored(self):
        responses = [Client().get("/admin/login/"), log_in(Client()), staff_client().post("/admin/logout/")]

        assert all("no-store" in response["Cache-Control"] for response in responses)
