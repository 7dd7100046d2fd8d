"""Each run is logged from its start to its end."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from threading import Thread

import pytest
from django.db import connection, connections
from django.utils import timezone

from analytics.models import Channel, ReportRun, RunOutcome
from analytics.running.errors import AssertionFailed, Cancelled, ReportFailed, TimedOut
from analytics.running.run_log import Caller, cancel_run, logged_run, mark_lost_runs
from sales.tests.helpers import refusing
from salesengine.tests.servers import wait_until

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

SLOW = "SELECT pg_sleep(60) AS nap"
CALLER = Caller(Channel.API, "web shop")


def run(report, texts=None, **options):
    return logged_run(report, report.parse(texts or {}), CALLER, format="csv", **options)


def run_to_the_end(report, texts=None, **options):
    with run(report, texts, **options) as running:
        return list(running.result.rows)


def test_a_run_is_logged_with_its_details(write_report):
    report = write_report("SELECT %(n)s AS n", header='[parameters.n]\ntype = "integer"\ndefault = 5\n')
    with run(report, {"n": "7"}) as running:
        rows = list(running.result.rows)
        running.bytes = 12
    log = ReportRun.objects.get()
    assert rows == [(7,)]
    assert (log.report, log.sql_hash, log.parameters) == ("probe", report.sql_hash, {"n": "7"})
    assert (log.channel, log.sender, log.format) == ("api", "web shop", "csv")
    assert (log.rows, log.bytes, log.outcome, log.message) == (1, 12, "ok", "")
    assert 0 < log.seconds < 10
    assert timezone.now() - log.started_at < timedelta(minutes=1)


def test_a_relative_default_is_logged_as_the_day_it_meant(write_report):
    report = write_report("SELECT %(day)s AS day", header='[parameters.day]\ntype = "date"\ndefault = "today"\n')
    run_to_the_end(report)
    assert ReportRun.objects.get().parameters == {"day": timezone.now().date().isoformat()}


def test_a_run_is_in_the_log_while_it_runs(write_report):
    with run(write_report("SELECT 1 AS one")):
        assert ReportRun.objects.get().outcome == RunOutcome.RUNNING


def test_a_run_without_rows_has_the_outcome_empty(write_report):
    run_to_the_end(write_report("SELECT 1 AS one WHERE false"))
    assert ReportRun.objects.get().outcome == RunOutcome.EMPTY


@pytest.mark.parametrize(
    ("sql", "header", "failure", "outcome", "message"),
    [
        ("SELECT 1 / 0 AS x", "", ReportFailed, RunOutcome.ERROR, "division by zero"),
        ("SELECT pg_sleep(9) AS x", 'timeout = "1s"\n', TimedOut, RunOutcome.TIMED_OUT, "statement timeout"),
        (
            "SELECT 1 AS x",
            '[[assertions]]\nrows = "> 1"\n',
            AssertionFailed,
            RunOutcome.FAILED_ASSERTION,
            "rows is > 1",
        ),
        ("SELECT 1 AS x", '[[assertions]]\nexpression = "true), (true"\n', ReportFailed, RunOutcome.ERROR, "not one"),
    ],
)
def test_a_failure_is_logged_with_its_reason(write_report, sql, header, failure, outcome, message):
    with pytest.raises(failure):
        run_to_the_end(write_report(sql, header=header))
    log = ReportRun.objects.get()
    assert log.outcome == outcome
    assert message in log.message


def test_a_failure_that_cannot_be_logged_keeps_its_own_reason(write_report, caplog):
    report = write_report("SELECT 1 / 0 AS x")
    with (
        refusing(ReportRun._meta.db_table, "outcome = 'running'"),
        pytest.raises(ReportFailed, match="division by zero"),
    ):
        run_to_the_end(report)
    assert "The failure of a run of the report probe could not be logged" in caplog.text


def test_a_false_assertion_of_severity_warn_is_logged_with_the_outcome_ok(write_report):
    run_to_the_end(write_report("SELECT 1 AS x", header='[[assertions]]\nrows = "> 1"\nseverity = "warn"\n'))
    log = ReportRun.objects.get()
    assert (log.outcome, log.message) == (RunOutcome.OK, "It is not true that the number of rows is > 1.")


def test_an_assertion_that_is_null_passes(write_report):
    run_to_the_end(write_report("SELECT 1 AS x WHERE false", header='[[assertions]]\nexpression = "SUM(x) > 5"\n'))
    assert ReportRun.objects.get().outcome == RunOutcome.EMPTY


def test_an_assertion_can_contain_a_percent_sign(write_report):
    run_to_the_end(write_report("SELECT 5 AS x", header='[[assertions]]\nexpression = "SUM(x) % 2 = 1"\n'))
    assert ReportRun.objects.get().outcome == RunOutcome.OK


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, BrokenPipeError])
def test_an_interrupted_run_is_cancelled(write_report, error):
    def interrupt(report):
        with run(report) as running:
            next(running.result.rows)
            raise error

    with pytest.raises(error):
        interrupt(write_report("SELECT generate_series(1, 1000000000) AS n"))
    assert ReportRun.objects.get().outcome == RunOutcome.CANCELLED
    assert ReportRun.objects.get().rows > 0


def test_a_run_whose_reader_stops_is_cancelled(write_report):
    def rows():
        with run(write_report("SELECT generate_series(1, 1000000000) AS n")) as running:
            yield from running.result.rows

    reading = rows()
    assert next(reading) == (1,)
    reading.close()
    assert ReportRun.objects.get().outcome == RunOutcome.CANCELLED
    wait_until(lambda: active_queries() == 0)  # the server reads the cancel request a moment after it was sent


def active_queries():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'salesengine rep%' AND state = 'active'"
        )
        return cursor.fetchone()[0]


def run_in_a_thread(report, token):
    """Start the report in a thread. Return the thread, and a list that gets the number of rows."""
    ended = []

    def target():
        try:
            with suppress(ReportFailed), run(report, token=token) as running:
                ended.append(len(list(running.result.rows)))
        finally:
            for alias in ("default", "reports"):
                connections[alias].close()

    thread = Thread(target=target)
    thread.start()
    return thread, ended


def test_cancelling_a_run_ends_its_query(write_report):
    token = uuid.uuid4()
    thread, ended = run_in_a_thread(write_report(SLOW), token)
    wait_until(active_queries)
    assert cancel_run(token)
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert ended == []
    wait_until(lambda: active_queries() == 0)
    log = ReportRun.objects.get()
    assert (log.outcome, log.message) == (RunOutcome.CANCELLED, "probe.sql: the run was cancelled.")


def test_a_run_that_is_cancelled_between_two_statements_ends_at_its_next_one(write_report):
    token = uuid.uuid4()
    with ThreadPoolExecutor() as pool, suppress(Cancelled), run(write_report(SLOW), token=token) as running:
        cancelling = pool.submit(cancel_run_of_another_thread, token)
        time.sleep(0.5)  # the run's transaction is open, and no statement is active
        list(running.result.rows)
    assert cancelling.result()
    assert ReportRun.objects.get().outcome == RunOutcome.CANCELLED


def cancel_run_of_another_thread(token):
    try:
        return cancel_run(token)
    finally:
        connections["reports"].close()


def test_cancelling_a_run_does_not_affect_others(write_report):
    thread, ended = run_in_a_thread(write_report("SELECT pg_sleep(1) AS nap"), uuid.uuid4())
    assert not cancel_run(uuid.uuid4())
    thread.join(timeout=60)
    assert ended == [1]


def test_a_run_whose_process_died_is_marked_as_lost(write_report):
    with run(write_report("SELECT 1 AS one")) as running:
        ReportRun.objects.filter(token=running.token).update(started_at=timezone.now() - timedelta(hours=1))
        dead = ReportRun.objects.create(
            report="probe", parameters={}, channel="api", started_at=timezone.now() - timedelta(minutes=1)
        )
        just_started = ReportRun.objects.create(report="probe", parameters={}, channel="api")
        mark_lost_runs()
        outcomes = dict(ReportRun.objects.values_list("token", "outcome"))
    assert outcomes == {
        running.token: RunOutcome.RUNNING,
        dead.token: RunOutcome.LOST,
        just_started.token: RunOutcome.RUNNING,
    }


def test_the_watcher_is_active_during_the_run(write_report):
    events = []

    @contextmanager
    def watch(token):
        events.append(("start", token))
        yield
        events.append(("end", token))

    token = uuid.uuid4()
    with run(write_report("SELECT 1 AS one"), token=token, watcher=watch):
        events.append("run")
    assert events == [("start", token), "run", ("end", token)]
