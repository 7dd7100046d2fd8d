"""Migrations can be reversed, and keep the API keys of earlier versions."""

from datetime import UTC, datetime

import pytest
from django.core.management import call_command
from django.db import connection
from rest_framework_api_key.models import APIKey as LibraryAPIKey

from salesengine.accounts.api_keys import get_valid_key
from salesengine.accounts.models import APIKey


@pytest.mark.django_db(transaction=True)
def test_the_migrations_of_sales_can_be_reversed_and_repeated():
    tables = connection.introspection.table_names()

    call_command("migrate", "sales", "zero", verbosity=0)
    remaining = connection.introspection.table_names()
    call_command("migrate", verbosity=0)

    assert set(tables) - set(remaining) == {
        *("sales", "voided_sale", "ledger", "feedback_daily_total", "feedback_total"),
        *("country_daily_total", "country_day", "country_total", "ingest_minute", "brand"),
        *("event_ids", "file_imports", "idempotency_keys", "rejected_events", "archived_month"),
    }
    assert connection.introspection.table_names() == tables


@pytest.fixture
def before_our_keys(transactional_db):
    """Reverse the migrations to before the project had its own API keys; afterwards migrate again, without keys."""
    call_command("migrate", "salesengine", "zero", verbosity=0)
    yield
    call_command("migrate", verbosity=0)
    LibraryAPIKey.objects.all().delete()


def test_keys_of_an_earlier_version_still_work(before_our_keys):
    end = datetime(2999, 1, 1, tzinfo=UTC)
    old, text = LibraryAPIKey.objects.create_key(name=" shop ", expiry_date=end)
    _, revoked = LibraryAPIKey.objects.create_key(name="shop", revoked=True)

    call_command("migrate", verbosity=0)

    key = get_valid_key(text)
    assert (key.name, key.created, key.expiry_date) == ("shop", old.created, end)
    assert key.scopes == ["ingest", "read", "reports"]
    assert get_valid_key(revoked) is None
    key.full_clean()


@pytest.mark.parametrize("name", ["", "user:jo", "Files", "two\nlines"])
def test_a_key_of_an_earlier_version_with_an_invalid_name_is_named_after_its_prefix(before_our_keys, name):
    old, _ = LibraryAPIKey.objects.create_key(name=name)

    call_command("migrate", verbosity=0)

    assert APIKey.objects.get().name == old.prefix


@pytest.mark.parametrize("invalidate", [lambda keys: keys.update(revoked=True), lambda keys: keys.delete()])
def test_reversing_the_migrations_does_not_revive_a_revoked_or_deleted_key(before_our_keys, invalidate):
    _, invalid = LibraryAPIKey.objects.create_key(name="invalid")
    _, valid = LibraryAPIKey.objects.create_key(name="valid")
    call_command("migrate", verbosity=0)
    invalidate(APIKey.objects.filter(name="invalid"))

    call_command("migrate", "salesengine", "zero", verbosity=0)

    assert [LibraryAPIKey.objects.is_valid(key) for key in (invalid, valid)] == [False, True]
