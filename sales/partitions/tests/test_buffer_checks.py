"""The doctor finds out whether PostgreSQL's buffers are large enough for the indexes of the newest months."""

import datetime
import re

import pytest
from django.utils import timezone

from sales.partitions import buffer_checks
from sales.tests.helpers import make_months_anew

pytestmark = pytest.mark.django_db


def test_indexes_of_the_newest_months_that_do_not_fit_are_found(monkeypatch):
    this_month = timezone.now().date().replace(day=1)
    last_month = this_month - datetime.timedelta(days=1)
    make_months_anew([this_month, last_month, datetime.date(2021, 1, 7)])
    assert list(buffer_checks.check_buffers()) == []

    monkeypatch.setattr(buffer_checks, "MAX_INDEXES", 0)
    findings = list(buffer_checks.check_buffers())

    assert [finding.id for finding in findings] == ["sales.W003"] * 2
    for month, finding in zip((last_month, this_month), findings, strict=True):
        sizes = rf"the indexes of sales_{month:%Y_%m} take \d+ kB, but PostgreSQL's buffers have \d+[MG]B: .*"
        assert re.fullmatch(sizes, finding.msg)
