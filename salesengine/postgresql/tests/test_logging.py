"""The log of an outage has the reason, but not once per request."""

import time

import pytest
from django.db import OperationalError

from salesengine.http.errors import log_database_unavailable
from salesengine.postgresql import outage as outages
from salesengine.postgresql.outage import Outage, OutageContinues
from salesengine.tests.clients import problem_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def outage(monkeypatch):
    """Begin an outage."""
    outage = Outage()
    monkeypatch.setattr(outages, "outage", outage)
    outage.begin()
    return outage


def respond_while_away(api, monkeypatch, error):
    def fail(*arguments):
        raise error

    monkeypatch.setattr("sales.totals.feedback.top_categories", fail)
    problem_of(api.get("/feedback"), 503, "database-unavailable")


def test_a_request_that_is_refused_during_an_outage_logs_nothing(api, monkeypatch, outage, caplog):
    respond_while_away(api, monkeypatch, OutageContinues("away"))

    assert not caplog.messages


def test_a_request_that_finds_the_database_away_logs_the_reason_once(api, monkeypatch, outage, caplog):
    respond_while_away(api, monkeypatch, OperationalError("connection refused"))

    assert caplog.messages == ["The database is unavailable: connection refused"]


def test_the_end_of_an_outage_logs_how_many_requests_were_refused(monkeypatch, outage, caplog):
    with pytest.raises(OperationalError), outage.probe():
        raise OperationalError("connection refused")
    for _ in range(3):
        with pytest.raises(OutageContinues) as refused, outage.probe():
            pass
        log_database_unavailable(refused.value)
    assert not caplog.messages

    later = time.monotonic() + 60
    monkeypatch.setattr(outages.time, "monotonic", lambda: later)
    with outage.probe():
        pass
    assert not outage.is_on
    assert caplog.messages == ["The database is back; 3 requests were refused meanwhile"]
