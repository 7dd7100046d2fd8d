"""A process runs a limited number of reports at the same time."""

from threading import BoundedSemaphore
from uuid import uuid4

import pytest

from analytics.api.tests.helpers import Client, get, rows
from analytics.backoffice.tests.pages import LIST, RESULT
from analytics.models import ReportRun
from analytics.running import slots
from salesengine.tests.clients import problem_of, text_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])


@pytest.fixture(autouse=True)
def one_slot(monkeypatch, write_report):
    write_report("SELECT repeat('x', 1000) AS text FROM generate_series(1, 3000)")
    monkeypatch.setattr(slots, "slots", BoundedSemaphore(1))


def test_a_report_beyond_the_limit_is_503_and_not_logged():
    with slots.slot():
        response = get(Client())

    problem = problem_of(response, 503, "service-busy")
    assert "REPORTS_AT_ONCE" in problem["detail"]
    assert int(response["Retry-After"]) > 0
    assert not ReportRun.objects.exists()
    assert len(rows(get(Client()))) == 3_000


def test_staff_read_that_too_many_reports_are_running(admin_client):
    with slots.slot():
        part = text_of(admin_client.get(RESULT, {"run": str(uuid4())}))
        download = admin_client.get(f"{LIST}probe.csv")

    assert "Too many reports are running at the moment." in part
    assert download.status_code == 503
    assert "Too many reports are running at the moment." in text_of(download)


def test_a_download_counts_until_it_is_sent(admin_client):
    download = admin_client.get(f"{LIST}probe.csv")
    problem_of(get(Client()), 503, "service-busy")

    assert download.getvalue()
    assert len(rows(get(Client()))) == 3_000


def test_a_failed_report_leaves_its_slot(write_report):
    write_report("SELECT colour FROM sales")
    for _ in range(2):
        problem_of(get(Client()), 422, "report-failed")
