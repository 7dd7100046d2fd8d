"""A run ends at its deadline, even if its SQL lifts PostgreSQL's timeouts or PostgreSQL hangs."""

import os
import signal
import time
from contextlib import contextmanager

import pytest
from django.db import connections

from analytics.running import deadline
from analytics.running.errors import TimedOut
from analytics.running.runner import run
from analytics.running.tests.test_runner import rows_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

LIFTS_TIMEOUTS = '''\
[[assertions]]
expression = """
CONCAT(COUNT(*), set_config('statement_timeout', '0', false), set_config('transaction_timeout', '0', false)) <> ''
"""
'''
SLEEPS_THEN = "SELECT CASE WHEN current_setting('statement_timeout') = '0' THEN pg_sleep(60)::text END AS nap"


@pytest.fixture(autouse=True)
def short_deadline(settings, monkeypatch):
    settings.REPORTS_TIMEOUT = 0.2
    monkeypatch.setattr(deadline, "GRACE", 0.2)


@contextmanager
def timed_out():
    began = time.monotonic()
    with pytest.raises(TimedOut, match=r"The limit is 0\.2 seconds"):
        yield
    assert time.monotonic() - began < 15


def test_a_report_whose_assertion_lifts_its_timeouts_ends_at_the_deadline(write_report):
    with timed_out():
        rows_of(write_report(SLEEPS_THEN, header=LIFTS_TIMEOUTS))


def test_a_report_ends_although_postgresql_hangs(write_report):
    report = write_report("SELECT repeat('x', 10000) AS text FROM generate_series(1, 100000) AS n")
    connections["reports"].ensure_connection()
    backend = connections["reports"].connection.info.backend_pid

    def read_from_a_stopped_backend():
        with run(report, report.parse({})) as result:
            next(result.rows)
            os.kill(backend, signal.SIGSTOP)
            list(result.rows)

    try:
        with timed_out():
            read_from_a_stopped_backend()
    finally:
        os.kill(backend, signal.SIGCONT)


def test_the_next_run_is_undisturbed(write_report):
    with timed_out():
        rows_of(write_report(SLEEPS_THEN, header=LIFTS_TIMEOUTS))

    assert rows_of(write_report("SELECT pg_sleep(0.1)::text AS nap")) == [("",)]


def test_a_run_does_not_wait_for_its_deadline(write_report):
    began = time.monotonic()
    rows_of(write_report("SELECT 1 AS one", header='timeout = "60s"\n'))

    assert time.monotonic() - began < 15
