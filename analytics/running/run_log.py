"""Runs of reports as they are logged: each, from each door, from its beginning to its end."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

from django.db import connections
from django.utils import timezone

from analytics.definitions.parameters import BoundParameters
from analytics.definitions.reports import ReportDefinition
from analytics.models import Channel, ReportRun, RunOutcome
from analytics.running.runner import ALIAS, ALL_ROWS, AssertionFailed, Cancelled, Result, RowRange, TimedOut, run

OUTCOMES: dict[type[BaseException], RunOutcome] = {
    AssertionFailed: RunOutcome.FAILED_ASSERTION,
    TimedOut: RunOutcome.TIMED_OUT,
    Cancelled: RunOutcome.CANCELLED,
    KeyboardInterrupt: RunOutcome.CANCELLED,
    SystemExit: RunOutcome.CANCELLED,
    # Whoever read the rows has stopped.
    GeneratorExit: RunOutcome.CANCELLED,
    BrokenPipeError: RunOutcome.CANCELLED,
}
SESSION = "salesengine report {}"  # what the database's list of sessions calls a run, by its token
GRACE = 30  # seconds in which a run may begin, or write down that it has ended

Watch = Callable[[uuid.UUID], AbstractContextManager[object]]


@dataclass(frozen=True)
class Caller:
    """Who wants a run, and through which door."""

    channel: Channel
    name: str


@dataclass
class Run:
    """A run that goes on. Whoever exports it says in the end how many bytes that were."""

    token: uuid.UUID
    result: Result
    bytes: int | None = None


@contextmanager
def logged_run(
    report: ReportDefinition,
    given: BoundParameters,
    caller: Caller,
    *,
    format: str,  # noqa: A002
    part: RowRange = ALL_ROWS,
    timeout: float | None = None,
    token: uuid.UUID | None = None,
    watch: Watch = lambda token: nullcontext(),
) -> Iterator[Run]:
    """Run a report as `runner.run` does, and log it: that it runs, and how it ended.

    `token` is what `cancel` wants to be told; `watch` may look after the run while it goes on. Raises ReportFailed.
    """
    log = ReportRun.objects.create(
        token=token or uuid.uuid4(),
        report=report.name,
        sql_hash=report.sql_hash,
        parameters=given.texts,
        channel=caller.channel,
        sender=caller.name,
        format=format,
    )
    started = time.monotonic()
    running = None
    try:
        name = SESSION.format(log.token)
        with watch(log.token), run(report, given, part=part, timeout=timeout, name=name) as result:
            running = Run(log.token, result)
            yield running
        log.outcome = RunOutcome.OK if result.row_count else RunOutcome.EMPTY
        log.message = "\n".join(assertion.text for assertion in result.failed)
    except BaseException as error:
        log.outcome = OUTCOMES.get(type(error), RunOutcome.ERROR)
        log.message = str(error)
        raise
    finally:
        log.seconds = time.monotonic() - started
        if running:
            log.rows, log.bytes = running.result.row_count, running.bytes
        log.save()


def cancel(token: uuid.UUID) -> bool:
    """End a run on the database's server; whether there was one to end."""
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = %s", [SESSION.format(token)]
        )
        return cursor.fetchone() is not None


def find_lost() -> None:
    """Note the runs that are logged as running, and are not: their process has ended without a word."""
    before = timezone.now() - timedelta(seconds=GRACE)
    running = list(ReportRun.objects.filter(outcome=RunOutcome.RUNNING, started_at__lt=before))
    if not running:
        return
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("SELECT application_name FROM pg_stat_activity")
        sessions = {name for (name,) in cursor.fetchall()}
    lost = [log.pk for log in running if SESSION.format(log.token) not in sessions]
    ReportRun.objects.filter(pk__in=lost, outcome=RunOutcome.RUNNING).update(outcome=RunOutcome.LOST)
