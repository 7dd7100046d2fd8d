"""Log the runs of all channels: one entry for each run, from its start to its end."""

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import Error, connections
from django.utils import timezone

from analytics.definitions.parameters import BoundParameters
from analytics.definitions.reports import ReportDefinition
from analytics.models import Channel, ReportRun, RunOutcome
from analytics.running import runner
from analytics.running.errors import AssertionFailed, Cancelled, TimedOut
from analytics.running.query import DATABASE_ALIAS
from analytics.running.rows import ALL_ROWS, RowRange
from salesengine.operations import metrics
from salesengine.operations.tracing import span

OUTCOMES: dict[type[BaseException], RunOutcome] = {
    AssertionFailed: RunOutcome.FAILED_ASSERTION,
    TimedOut: RunOutcome.TIMED_OUT,
    Cancelled: RunOutcome.CANCELLED,
    KeyboardInterrupt: RunOutcome.CANCELLED,
    SystemExit: RunOutcome.CANCELLED,
    # The reader of the rows has stopped.
    GeneratorExit: RunOutcome.CANCELLED,
    BrokenPipeError: RunOutcome.CANCELLED,
}
logger = logging.getLogger(__name__)

GRACE = 30  # seconds that a new run may need to open its session
CANCEL_SECONDS = 5  # seconds that a cancelled run may need to end

RunWatcher = Callable[[uuid.UUID], AbstractContextManager[object]]


@dataclass(frozen=True)
class Caller:
    """The user or API key that requests a run, and its channel."""

    channel: Channel
    name: str


@dataclass
class Run:
    """A run and its result. The code that exports the result sets `bytes`, the size of the export."""

    token: uuid.UUID
    result: runner.Result
    bytes: int | None = None


@contextmanager
def logged_run(
    report: ReportDefinition,
    bound: BoundParameters,
    caller: Caller,
    *,
    format: str,  # noqa: A002
    row_range: RowRange = ALL_ROWS,
    timeout: float | None = None,
    token: uuid.UUID | None = None,
    watcher: RunWatcher = lambda token: nullcontext(),
) -> Iterator[Run]:
    """Run a report as `runner.run` does, and log its start and its end.

    `cancel_run` cancels the run by its `token`. `watcher` is active during the run. Raises ReportFailed.
    """
    log = _log_start(report, bound, caller, format=format, token=token or uuid.uuid4())
    started = time.monotonic()
    run = None
    try:
        with (
            span("report", report=report.name),
            watcher(log.token),
            runner.run(
                report, bound, row_range=row_range, timeout=timeout, session_name=_session_name(log.token)
            ) as result,
        ):
            run = Run(log.token, result)
            yield run
        log.outcome = RunOutcome.OK if result.row_count else RunOutcome.EMPTY
        log.message = "\n".join(result.warnings)
    except BaseException as error:
        log.outcome = OUTCOMES.get(type(error), RunOutcome.ERROR)
        log.message = str(error)
        try:
            _log_end(log, run, started)
        except Error:  # the run's own error says more
            logger.exception("The failure of a run of the report %s could not be logged", report.name)
        raise
    _log_end(log, run, started)


def _log_start(report: ReportDefinition, bound: BoundParameters, caller: Caller, **fields: Any) -> ReportRun:
    return ReportRun.objects.create(
        report=report.name,
        sql_hash=report.sql_hash,
        parameters=bound.texts,
        channel=caller.channel,
        sender=caller.name,
        **fields,
    )


def _log_end(log: ReportRun, run: Run | None, started: float) -> None:
    log.seconds = time.monotonic() - started
    metrics.REPORT_RUNS.labels(log.report, log.outcome).inc()
    metrics.REPORT_SECONDS.labels(log.report).observe(log.seconds)
    if run:
        log.rows, log.bytes = run.result.row_count, run.bytes
        metrics.REPORT_ROWS.labels(log.report).inc(log.rows)
    log.save()


def _session_name(token: uuid.UUID) -> str:
    """Return the name of a run in PostgreSQL's list of sessions."""
    return f"salesengine report {token}"


def cancel_run(token: uuid.UUID) -> bool:
    """End a run on the database's server. Return whether its session was found.

    A session that is between two statements ignores the cancellation, so it is sent until the run has ended.
    """
    gives_up_at = time.monotonic() + CANCEL_SECONDS
    is_found = is_running = _cancel_statement(token)
    while is_running and time.monotonic() < gives_up_at:
        time.sleep(0.05)
        is_running = _cancel_statement(token)
    return is_found


def _cancel_statement(token: uuid.UUID) -> bool:
    with connections[DATABASE_ALIAS].cursor() as cursor:
        cursor.execute(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
            [_session_name(token)],
        )
        return cursor.fetchone() is not None


def mark_lost_runs() -> None:
    """Mark runs whose process died as lost. Does nothing while the database of reports is unavailable."""
    before = timezone.now() - timedelta(seconds=GRACE)
    running = list(ReportRun.objects.filter(outcome=RunOutcome.RUNNING, started_at__lt=before))
    if not running:
        return
    try:
        with connections[DATABASE_ALIAS].cursor() as cursor:
            cursor.execute("SELECT application_name FROM pg_stat_activity")
            sessions = {name for (name,) in cursor.fetchall()}
    except Error:
        return
    lost = [log.pk for log in running if _session_name(log.token) not in sessions]
    ReportRun.objects.filter(pk__in=lost, outcome=RunOutcome.RUNNING).update(outcome=RunOutcome.LOST)
