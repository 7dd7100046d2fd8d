"""Runs of reports as they are logged: each, from each door, from its beginning to its end."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

from django.db import connections
from django.utils import timezone

from analytics.definitions.parameters import Given
from analytics.definitions.reports import Report
from analytics.models import Door, Outcome, ReportRun
from analytics.running.runner import ALIAS, ALL, AssertionFailed, Cancelled, Part, Result, TimedOut, run

OUTCOMES: dict[type[BaseException], Outcome] = {
    AssertionFailed: Outcome.FAILED_ASSERTION,
    TimedOut: Outcome.TIMED_OUT,
    Cancelled: Outcome.CANCELLED,
    KeyboardInterrupt: Outcome.CANCELLED,
    SystemExit: Outcome.CANCELLED,
    # Whoever read the rows has stopped.
    GeneratorExit: Outcome.CANCELLED,
    BrokenPipeError: Outcome.CANCELLED,
}
SESSION = "salesengine report {}"  # what the database's list of sessions calls a run, by its token
GRACE = 30  # seconds in which a run may begin, or write down that it has ended

Watch = Callable[[uuid.UUID], AbstractContextManager[object]]


@dataclass(frozen=True)
class Caller:
    """Who wants a run, and through which door."""

    door: Door
    name: str


@dataclass
class Run:
    """A run that goes on. Whoever exports it says in the end how many bytes that were."""

    token: uuid.UUID
    result: Result
    bytes: int | None = None


@contextmanager
def logged_run(
    report: Report,
    given: Given,
    caller: Caller,
    *,
    format: str,  # noqa: A002
    part: Part = ALL,
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
        door=caller.door,
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
        log.outcome = Outcome.OK if result.row_count else Outcome.EMPTY
        log.message = "\n".join(assertion.text for assertion in result.failed)
    except BaseException as error:
        log.outcome = OUTCOMES.get(type(error), Outcome.ERROR)
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
    running = list(ReportRun.objects.filter(outcome=Outcome.RUNNING, started_at__lt=before))
    if not running:
        return
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("SELECT application_name FROM pg_stat_activity")
        sessions = {name for (name,) in cursor.fetchall()}
    lost = [log.pk for log in running if SESSION.format(log.token) not in sessions]
    ReportRun.objects.filter(pk__in=lost, outcome=Outcome.RUNNING).update(outcome=Outcome.LOST)
