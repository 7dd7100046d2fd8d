"""What the service counts and measures. docs/metrics.md explains each series.

Under gunicorn, each worker writes its values to files in a folder, and whichever worker is asked adds them up. The
files are named by slot. A new worker claims the first free slot and continues its counts, so a killed worker takes
nothing away and the number of files does not grow.
"""

import fcntl
import functools
import itertools
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.contrib.auth.signals import user_login_failed
from django.dispatch import receiver
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from salesengine.postgresql.base import pool_stats
from salesengine.postgresql.outage import outage

FOLDER = os.environ.get("PROMETHEUS_MULTIPROC_DIR")  # set by salesengine/gunicorn.py

_slot = "master"
_claim: Any = None  # the open file whose lock says that this process uses the slot
if FOLDER:
    values.ValueClass = values.MultiProcessValue(lambda: _slot)  # type: ignore[no-untyped-call]

registry = CollectorRegistry()

SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
EVENT_COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000, 10_000, 50_000)
FORMS = ("single", "batch", "replay")
OUTCOMES = ("accepted", "duplicate", "rejected")
CORRECTION_ACTIONS = ("void", "replace")

EVENTS = Counter("salesengine_events", "Events received", ("form", "outcome"), registry=registry)
CORRECTIONS = Counter("salesengine_corrections", "Sales voided or replaced", ("action",), registry=registry)
BATCH_EVENTS = Histogram(
    "salesengine_batch_events", "Events in a batch sent to POST /ingest", buckets=EVENT_COUNTS, registry=registry
)
COMMIT_EVENTS = Histogram(
    "salesengine_single_commit_events",
    "Events in a commit that single events of concurrent requests share",
    buckets=[count for count in EVENT_COUNTS if count <= 200],
    registry=registry,
)
REQUEST_SECONDS = Histogram(
    "salesengine_http_request_duration_seconds",
    "Time from a request to the beginning of its response",
    ("route", "method", "status"),
    buckets=SECONDS,
    registry=registry,
)
REQUESTS_REFUSED = Counter(
    "salesengine_http_requests_refused",
    "Requests that got 429 or 503, because of a limit or because the database was away",
    ("reason",),
    registry=registry,
)
LOGIN_FAILURES = Counter("salesengine_login_failures", "Wrong passwords and codes", registry=registry)
FOLD_SECONDS = Histogram(
    "salesengine_fold_duration_seconds",
    "Time to add ledger entries to the totals",
    buckets=SECONDS,
    registry=registry,
)
FOLD_FAILURES = Counter("salesengine_fold_failures", "Folds that failed", registry=registry)
REPORT_RUNS = Counter("salesengine_report_runs", "Runs of reports", ("report", "outcome"), registry=registry)
REPORT_SECONDS = Histogram(
    "salesengine_report_run_duration_seconds",
    "Time of a report's run, until its last row is read",
    ("report",),
    buckets=(*SECONDS, 60, 300),
    registry=registry,
)
REPORT_ROWS = Counter("salesengine_report_rows", "Rows that reports have returned", ("report",), registry=registry)
WORKER_STARTS = Counter("salesengine_worker_starts", "Worker processes started", registry=registry)


def _gauge(name: str, text: str, labels: Iterable[str] = ()) -> Gauge:
    """Return a gauge whose value is the sum over the workers that live."""
    return Gauge(name, text, labels, multiprocess_mode="livesum", registry=registry)


WORKERS = _gauge("salesengine_workers", "Worker processes")
WORKERS_IN_OUTAGE = _gauge("salesengine_workers_in_outage", "Worker processes that cannot reach the database")
POOL_USED = _gauge("salesengine_pool_connections_used", "Database connections in use", ("database",))
POOL_IDLE = _gauge("salesengine_pool_connections_idle", "Database connections open and unused", ("database",))
POOL_MAX = _gauge("salesengine_pool_connections_max", "Database connections that the pools may open", ("database",))
POOL_WAITING = _gauge("salesengine_pool_requests_waiting", "Threads that wait for a connection", ("database",))

# Series that exist from the start, so that their first increase is seen.
_events = {labels: EVENTS.labels(*labels) for labels in itertools.product(FORMS, OUTCOMES)}
for _action in CORRECTION_ACTIONS:
    CORRECTIONS.labels(_action)


def count_events(form: str, **counts: int) -> None:
    """Count events by outcome: `accepted`, `duplicate` or `rejected`."""
    for outcome, count in counts.items():
        if count:
            _events[form, outcome].inc(count)


@functools.cache
def request_seconds(route: str, method: str, status: str) -> Histogram:
    """Return the series of requests with these labels. Finding it takes the library longer than counting."""
    return REQUEST_SECONDS.labels(route, method, status)


@receiver(user_login_failed)
def count_login_failure(**_: Any) -> None:
    LOGIN_FAILURES.inc()


def claim_slot() -> None:
    """Claim the first slot that no living worker uses. Call this first in a new worker.

    The kernel frees the slot when the process ends, however it ends.
    """
    global _slot, _claim
    assert FOLDER
    for number in itertools.count():
        _claim = Path(FOLDER, f"counter_{number}.db").open("ab")  # noqa: SIM115  # open as long as the process lives
        with suppress(BlockingIOError):
            fcntl.flock(_claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        _claim.close()
    mark_process_dead(number, FOLDER)  # type: ignore[no-untyped-call]  # delete the gauges of its predecessor
    _slot = str(number)
    WORKER_STARTS.inc()
    sample_process()


def sample_process() -> None:
    """Measure what belongs to this process. Workers call this once a second."""
    WORKERS.set(1)
    WORKERS_IN_OUTAGE.set(outage.is_on)
    for alias, stats in pool_stats().items():
        POOL_USED.labels(alias).set(stats["pool_size"] - stats["pool_available"])
        POOL_IDLE.labels(alias).set(stats["pool_available"])
        POOL_MAX.labels(alias).set(stats["pool_max"])
        POOL_WAITING.labels(alias).set(stats.get("requests_waiting", 0))


def collect() -> Iterable[Metric]:
    """Return the series of all workers."""
    if not FOLDER:
        return registry.collect()
    return MultiProcessCollector.merge(_files(Path(FOLDER)))  # type: ignore[no-untyped-call,no-any-return]


def _files(folder: Path) -> Iterator[str]:
    """Yield the files that can be read now. Only living workers have gauges."""
    for path in folder.glob("*.db"):
        kind, _, slot = path.stem.rpartition("_")
        if kind.startswith("gauge") and not _is_claimed(folder / f"counter_{slot}.db"):
            continue
        with suppress(FileNotFoundError):  # a new worker has deleted the gauges of its predecessor
            if path.stat().st_size:  # otherwise it is being created
                yield str(path)


def _is_claimed(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
