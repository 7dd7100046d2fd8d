"""The doctor finds out whether PostgreSQL's buffers are large enough for the indexes of a month."""

import datetime
import re

import pytest

from sales.partitions import buffer_checks
from sales.tests.helpers import make_months_anew

pytestmark = pytest.mark.django_db


def test_indexes_of_a_month_that_do_not_fit_are_found(monkeypatch):
    make_months_anew([datetime.date(2021, 1, 7)])
    assert list(buffer_checks.check_buffers()) == []

    monkeypatch.setattr(buffer_checks, "MAX_INDEXES", 0)
    [finding] = buffer_checks.check_buffers()
    assert finding.id == "sales.W003"
    sizes = r"the indexes of sales_\d{4}_\d\d have \d+ kB, and PostgreSQL's buffers \d+[MG]B, so sales go in slowly"
    assert re.fullmatch(sizes, finding.msg)
