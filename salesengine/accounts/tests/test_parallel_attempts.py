"""Simultaneous guesses of a password, which must not pass the lockout, and guesses of many usernames."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from axes.models import AccessAttempt, AccessFailureLog
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from django.utils import timezone

from salesengine.tests.clients import LOG_IN, PASSWORD, is_in, log_in, staff_client, text_of

GUESSES = 30
THREADS = 12  # fewer than the connections of the pool


class TimeConsumingHasher(PBKDF2PasswordHasher):
    """Takes about 30 ms, so that the comparisons of simultaneous guesses overlap."""

    iterations = 100_000


def guess(cookies, url, data):
    try:
        client = Client()
        client.cookies = cookies
        return client.post(url, data).status_code
    finally:
        connections.close_all()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestSimultaneousGuesses:
    @pytest.fixture(autouse=True)
    def time_consuming_passwords(self, settings):
        settings.PASSWORD_HASHERS = [f"{__name__}.TimeConsumingHasher"]

    @pytest.mark.parametrize(
        ("url", "data"),
        [
            (LOG_IN, {"username": "jo", "password": "wrong"}),
            ("/admin/password_change/", {"old_password": "wrong"}),
            ("/admin/second-factor/", {"start": "1", "password": "wrong"}),
        ],
    )
    def test_only_five_of_thirty_are_compared(self, url, data):
        client = Client() if url == LOG_IN else staff_client()
        User.objects.get_or_create(username="jo", is_staff=True)

        with ThreadPoolExecutor(THREADS) as threads:
            statuses = list(threads.map(lambda _: guess(client.cookies, url, data), range(GUESSES)))

        assert AccessFailureLog.objects.count() == 5
        assert statuses.count(429) >= GUESSES - 4
        assert set(statuses) <= {200, 429}

    def test_many_right_passwords_are_all_accepted(self):
        User.objects.create_user("jo", password=PASSWORD, is_staff=True)
        data = {"username": "jo", "password": PASSWORD}

        with ThreadPoolExecutor(4) as threads:
            statuses = list(threads.map(lambda _: guess(Client().cookies, LOG_IN, data), range(12)))

        assert statuses == [302] * 12
        assert not AccessAttempt.objects.exists()


@pytest.mark.django_db
class TestManyUsernames:
    @pytest.fixture(autouse=True)
    def ten_per_address(self, settings):
        settings.LOGIN_FAILURES_PER_ADDRESS = 10

    def fail(self, times, address="203.0.113.9"):
        for number in range(times):
            data = {"username": f"name{number}", "password": "wrong"}
            response = Client().post(LOG_IN, data, REMOTE_ADDR=address)
        return response

    def test_too_many_failures_from_one_address_lock_all_its_logins(self, client):
        staff_client()
        assert self.fail(9).status_code == 200

        response = self.fail(1)

        assert (response.status_code, response["Retry-After"]) == (429, "900")
        assert "from your network address" in text_of(response)
        assert (
            client.post(LOG_IN, {"username": "jo", "password": PASSWORD}, REMOTE_ADDR="203.0.113.9").status_code == 429
        )

    def test_other_addresses_are_not_locked(self, client):
        staff_client()
        self.fail(10)

        log_in(client)

        assert is_in(client)

    def test_a_successful_login_does_not_reset_the_count(self, client):
        staff_client()
        self.fail(9)
        client.post(LOG_IN, {"username": "jo", "password": PASSWORD}, REMOTE_ADDR="203.0.113.9")
        assert is_in(client)

        assert self.fail(1).status_code == 429

    def test_the_lock_ends_when_enough_failures_are_older_than_15_minutes(self, client):
        self.fail(10)
        AccessAttempt.objects.filter(username="name0").update(attempt_time=timezone.now() - timedelta(minutes=16))

        assert self.fail(1).status_code == 429
        assert self.fail(1).status_code == 429
        AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
        assert self.fail(1).status_code == 200

    def test_neighbours_in_an_ipv6_network_count_together(self):
        for number in range(10):
            response = self.fail(1, address=f"2001:db8::{number}")

        assert response.status_code == 429
        assert self.fail(1, address="2001:db8:0:1::1").status_code == 200

    def test_ipv4_addresses_that_are_written_as_ipv6_count_apart(self):
        for number in range(11):
            response = self.fail(1, address=f"::ffff:192.0.2.{number}")

        assert response.status_code == 200

    @pytest.mark.parametrize(("limit", "address"), [(0, "203.0.113.9"), (10, "")])
    def test_zero_or_an_unknown_address_is_no_limit(self, settings, limit, address):
        settings.LOGIN_FAILURES_PER_ADDRESS = limit

        assert self.fail(20, address).status_code == 200
