"""What is measured at the time of a scrape: the database, the disk, the last backup and the version."""

import platform
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import psycopg
from django.conf import settings
from django.db import connections
from prometheus_client import Metric
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily
from psycopg.rows import dict_row

from salesengine.operations.last_backup import created_at, last_backup_at

DEADLINE = 2.5  # seconds for all answers of the databases
STATEMENT_TIMEOUT = "2s"
CONNECT_TIMEOUT = 2  # seconds, the shortest that libpq accepts
REPORTS = "reports"  # the database alias

# The limits keep the statement short when very many rows wait.
STATE = """
    SELECT (SELECT COUNT(*) FROM (SELECT FROM ledger WHERE position IS NULL LIMIT 1000000) AS entries) AS unfolded,
        (SELECT extract(epoch FROM now() - MIN(received_at)) FROM ledger WHERE position IS NULL)::float AS oldest,
        (SELECT COUNT(*) FROM (SELECT FROM rejected_events WHERE replayed_at IS NULL LIMIT 1000000) AS events)
            AS rejected
    """
# A replica that has replayed all that it received has no lag, unless it receives nothing.
REPLICATION = """
    SELECT CASE
        WHEN NOT pg_is_in_recovery() THEN 0
        WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0
        ELSE extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float
    END AS lag
    """

State = Mapping[str, float | None]
# Starts its threads at the first scrape, so after the fork of a worker. A thread may outlast the scrape that waits for
# it, while the network is silent.
executor = ThreadPoolExecutor(4, thread_name_prefix="scrape")


def collect() -> Iterator[Metric]:
    """Yield the series. Those that cannot be measured are missing, except for `salesengine_database_up`."""
    states = {"default": executor.submit(ask, "default", STATE)}
    if has_own_reports_database():
        states[REPORTS] = executor.submit(ask, REPORTS, REPLICATION)
    yield _build_info()
    yield from _disk()
    yield from _last_backup()
    yield from _database(_answer(states["default"], DEADLINE))
    if REPORTS in states:
        # The first answer has waited for up to DEADLINE already.
        yield from _reports_database(_answer(states[REPORTS], DEADLINE / 10))


def has_own_reports_database() -> bool:
    """Return whether reports read another server or database than the one that stores sales."""
    configs = [connections[alias].settings_dict for alias in ("default", REPORTS)]
    first, second = (
        [config[key] or config["OPTIONS"].get(key.lower()) for key in ("HOST", "PORT", "NAME")] for config in configs
    )
    return first != second


def ask(alias: str, statement: str) -> State:
    """Return the row of a statement on a connection of its own, because the pool may have none left.

    A statement that fails or takes too long returns an empty row. Raises psycopg.Error if the database is away.
    """
    parameters: dict[str, Any] = connections[alias].get_connection_params()
    parameters |= {"connect_timeout": CONNECT_TIMEOUT, "application_name": "salesengine metrics", "autocommit": True}
    with psycopg.connect(**parameters) as connection, connection.cursor(row_factory=dict_row) as cursor:
        try:
            cursor.execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'")
            return cursor.execute(statement).fetchone() or {}
        except psycopg.Error:
            if connection.closed:
                raise
            return {}


def _answer(state: Future[State], timeout: float) -> State | None:
    """Return None if the database is away."""
    try:
        return state.result(timeout)
    except (psycopg.Error, TimeoutError):
        return None


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"salesengine_{name}", text, value)


def _build_info() -> Metric:
    versions: dict[str, str] = {
        "version": str(settings.SPECTACULAR_SETTINGS["VERSION"]),
        "python": platform.python_version(),
        "django": version("django"),
    }
    return InfoMetricFamily("salesengine_build", "Versions of the service", versions)


def _disk() -> Iterator[Metric]:
    if settings.IS_LOCAL:  # otherwise the data is on another machine
        usage = shutil.disk_usage(settings.LOCAL_DIR)
        yield _gauge("disk_free_bytes", "Free space on the disk of LOCAL_DIR", usage.free)
        yield _gauge("disk_size_bytes", "Size of the disk of LOCAL_DIR", usage.total)


def _last_backup() -> Iterator[Metric]:
    if finished_at := last_backup_at() or (created_at() if settings.IS_LOCAL else None):
        yield _gauge(
            "last_backup_timestamp_seconds",
            "When the last backup finished; without one, when the private database was created",
            finished_at.timestamp(),
        )


def _database(state: State | None) -> Iterator[Metric]:
    yield _gauge("database_up", "Whether the database can be reached", state is not None)
    if not state:
        return
    yield _gauge("unfolded_entries", "Ledger entries to fold", state["unfolded"] or 0)
    yield _gauge("unfolded_oldest_seconds", "Age of the oldest ledger entry to fold", state["oldest"] or 0)
    yield _gauge("rejected_events_waiting", "Rejected events that wait for staff", state["rejected"] or 0)


def _reports_database(state: State | None) -> Iterator[Metric]:
    yield _gauge("reports_database_up", "Whether the database of reports can be reached", state is not None)
    if state and (lag := state["lag"]) is not None:
        yield _gauge("replication_lag_seconds", "How old the newest data in the database of reports is", lag)
