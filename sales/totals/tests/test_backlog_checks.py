"""The doctor finds ledger entries that have waited for long, and not those that the next fold takes anyway."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sales.models import LedgerEntry
from sales.totals.backlog_checks import check_backlog

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("count", "minutes", "is_found"), [(600, 10, True), (600, 1, False), (200, 10_000, False), (0, 0, False)]
)
def test_many_old_entries_are_found(count, minutes, is_found):
    received_at = timezone.now() - timedelta(minutes=minutes)
    entry = {"sources": [""], "sale_ids": "{}", "received_at": received_at}
    LedgerEntry.objects.bulk_create([LedgerEntry(**entry) for _ in range(count)])
    LedgerEntry.objects.create(**entry, position=7)  # folded, so it does not count

    findings = list(check_backlog())

    assert [finding.id for finding in findings] == ["sales.W001"] * is_found
    assert all(finding.msg == "600 ledger entries wait to be folded, the oldest for 10 minutes" for finding in findings)
