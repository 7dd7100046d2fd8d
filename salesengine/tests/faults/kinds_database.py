"""A PostgreSQL that works, but has no room, no connection or a lock."""

import os
import time
from contextlib import ExitStack, suppress

import psycopg

from sales.totals.isolation import FOLD_LOCK
from salesengine.tests.faults.lane import Lane, injection, needs_disk, rare


def fill_disk(lane: Lane, stack: ExitStack) -> None:
    """Take all free space of the disk, until the stack is closed."""
    path = lane.folder / "filler"
    stack.callback(path.unlink, missing_ok=True)
    with path.open("wb") as file:
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while True:
                    free = os.statvfs(lane.folder).f_bavail * os.statvfs(lane.folder).f_frsize
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), max(size, free - free % size))


@needs_disk
@injection
def disk_full(lane: Lane) -> None:
    """No free byte on the disk of PostgreSQL for some seconds. It may crash, when it needs more log."""
    with ExitStack() as stack:
        fill_disk(lane, stack)
        lane.hold()
    lane.database.start()


@needs_disk
@injection
def disk_full_and_crash(lane: Lane) -> None:
    """No free byte, also for the log: PostgreSQL panics and cannot recover before there is space."""
    with ExitStack() as stack:
        fill_disk(lane, stack)
        with suppress(psycopg.Error), lane.database.connect() as connection:
            for _ in range(20):  # beyond the log files that PostgreSQL has made in advance
                connection.execute("SELECT pg_logical_emit_message(false, '', repeat('x', 1000000)), pg_switch_wal()")
        lane.hold()
    lane.database.start()


@injection
def connections_exhausted(lane: Lane) -> None:
    """Somebody takes all connections of PostgreSQL, just after those of the service have broken."""
    others = []
    with suppress(psycopg.OperationalError):
        lane.database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        while True:
            others.append(lane.database.connect())
    lane.hold()
    for connection in others:
        connection.close()


def hold_lock(lane: Lane, statement: str, seconds: float = 0) -> None:
    with lane.database.connect() as connection, connection.transaction():
        connection.execute("SET LOCAL lock_timeout = '20s'")
        connection.execute(statement)
        if seconds:
            time.sleep(seconds)
        else:
            lane.hold()


@injection
def exclusive_lock(lane: Lane) -> None:
    """ACCESS EXCLUSIVE on the sales, as ALTER TABLE takes it."""
    hold_lock(lane, "LOCK TABLE sales IN ACCESS EXCLUSIVE MODE")


@rare
@injection
def exclusive_lock_for_30_seconds(lane: Lane) -> None:
    """ACCESS EXCLUSIVE on the sales for 30 s."""
    hold_lock(lane, "LOCK TABLE sales IN ACCESS EXCLUSIVE MODE", 30)


@injection
def share_lock(lane: Lane) -> None:
    """SHARE on sales, EVENT_IDs or the ledger, as CREATE INDEX takes it."""
    table = lane.random.choice(["sales", "event_ids", "idempotency_keys", "ledger"])
    hold_lock(lane, f"LOCK TABLE {table} IN SHARE MODE")


@injection
def row_locks(lane: Lane) -> None:
    """Locks on all rows of the totals."""
    rows = [f"SELECT FROM {table} FOR UPDATE" for table in ("feedback_total", "feedback_daily_total", "country_total")]
    # Between two folds, because a fold locks the rows in another order.
    between = [f"SELECT pg_advisory_lock({FOLD_LOCK})", *rows, f"SELECT pg_advisory_unlock({FOLD_LOCK})"]
    hold_lock(lane, "; ".join(between))


@injection
def event_ids_held(lane: Lane) -> None:
    """Clients that have vanished hold EVENT_IDs, which the clients send, in open transactions."""
    event_ids = lane.load.coming_event_ids(20)
    with lane.database.connect() as connection, suppress(psycopg.Error), connection.transaction():
        for event_id in event_ids:
            connection.execute(
                "INSERT INTO event_ids (event_id, sender, digest, sale_id) VALUES (%s, 'anonymous', '', 0)"
                " ON CONFLICT DO NOTHING",
                [event_id],
            )
        lane.hold()
        raise psycopg.Error("roll back")


@injection
def folds_held_back(lane: Lane) -> None:
    """A repair of the totals, during which no fold runs."""
    with lane.database.connect() as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [FOLD_LOCK])
        lane.hold()


@injection
def read_only(lane: Lane) -> None:
    """A demoted primary: new transactions cannot write."""
    lane.database.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    lane.database.execute("SELECT pg_reload_conf()")
    lane.hold()
    with lane.database.connect() as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
        connection.execute("SELECT pg_reload_conf()")
