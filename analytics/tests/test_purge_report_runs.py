"""`manage.py purge_report_runs` deletes old runs."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from analytics.models import ReportRun

pytestmark = pytest.mark.django_db(transaction=True)


def purge(*arguments):
    output = StringIO()
    call_command("purge_report_runs", "--older-than", "90d", *arguments, stderr=output)
    return output.getvalue()


def test_old_runs_are_deleted_and_newer_ones_stay():
    now = timezone.now()
    _, new = (
        ReportRun.objects.create(report="probe", parameters={}, channel="api", started_at=now - timedelta(days=days))
        for days in (91, 89)
    )
    assert purge("--dry-run") == "Would delete 1 report run.\n"
    assert ReportRun.objects.count() == 2
    assert purge() == "Deleted 1 report run.\n"
    assert list(ReportRun.objects.all()) == [new]
