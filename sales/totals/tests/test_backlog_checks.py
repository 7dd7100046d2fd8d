"""The doctor finds journal entries that have waited for long, and not those that the next fold moves anyway."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sales.totals import backlog_checks
from sales.totals.backlog_checks import check_country_backlog, check_feedback_backlog

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("count", "minutes", "is_found"), [(600, 10, True), (600, 1, False), (200, 10_000, False), (0, 0, False)]
)
def test_many_old_entries_of_the_feedback_are_found(count, minutes, is_found):
    received_at = timezone.now() - timedelta(minutes=minutes)
    unfolded().bulk_create(
        JournalEntry(category="bags", day="2021-01-01", sales_count=1, revenue=1, received_at=received_at)
        for _ in range(count)
    )

    findings = list(check_feedback_backlog())

    assert [finding.id for finding in findings] == ["sales.W001"] * is_found
    assert all(
        finding.msg == "600 journal entries of the feedback wait, the oldest for 10 minutes" for finding in findings
    )


def test_many_entries_of_the_totals_by_country_are_found(monkeypatch):
    monkeypatch.setattr(backlog_checks, "MIN_COUNTRY_ENTRIES", 2)
    unfolded().create(sale_ids="{}", sales_count=0)
    assert list(check_country_backlog()) == []

    unfolded().create(sale_ids="{}", sales_count=0)
    assert [finding.id for finding in check_country_backlog()] == ["sales.W002"]
