"""The doctor finds API keys that stop working soon, and those that nobody uses."""

from datetime import timedelta

import pytest
from django.utils import timezone

from salesengine.accounts.api_keys import create_key
from salesengine.accounts.key_checks import check_expiring_keys, check_unused_keys
from salesengine.accounts.models import APIKey

pytestmark = pytest.mark.django_db


@pytest.fixture
def key():
    create_key("web shop", ["ingest"])
    return APIKey.objects.get()


@pytest.mark.parametrize(("days", "is_found"), [(-8, False), (-1, True), (1, True), (8, False)])
def test_a_key_is_found_shortly_before_and_after_it_expires(key, days, is_found):
    assert list(check_expiring_keys()) == []

    APIKey.objects.update(expiry_date=timezone.now() + timedelta(days=days))
    findings = list(check_expiring_keys())
    assert [(finding.id, finding.obj) for finding in findings] == [("salesengine.W301", str(key))] * is_found

    APIKey.objects.update(revoked=True)
    assert list(check_expiring_keys()) == []


@pytest.mark.parametrize(
    ("created", "used", "is_found"), [(100, None, True), (100, 91, True), (100, 1, False), (1, None, False)]
)
def test_a_key_that_nobody_has_used_for_long_is_found(key, created, used, is_found):
    now = timezone.now()
    last_used = used and now - timedelta(days=used)
    APIKey.objects.update(created=now - timedelta(days=created), last_used=last_used)

    findings = list(check_unused_keys())

    assert [(finding.id, finding.obj) for finding in findings] == [("salesengine.W302", str(key))] * is_found
