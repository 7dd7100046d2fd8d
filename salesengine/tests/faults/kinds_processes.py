"""Processes that die or stop: of the service, and of PostgreSQL."""

import signal
import time
from contextlib import suppress

import psutil

from sales.partitions import making
from salesengine.tests.faults.lane import Lane, back_within, injection

START = 30  # seconds for the start of the service
MAKER = f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = {making.LOCK} AND granted"
NEXT_MONTH = 20  # seconds for the clients to come to another month


@injection
def kill_worker(lane: Lane) -> None:
    """kill -9 of a worker."""
    lane.random.choice(lane.service.workers()).kill()


@injection
def kill_all_workers(lane: Lane) -> None:
    """kill -9 of all workers at once."""
    for worker in lane.service.workers():
        worker.kill()


@back_within(START)
@injection
def kill_master(lane: Lane) -> None:
    """kill -9 of gunicorn's master; a supervisor starts it again."""
    lane.service.kill_master()


@injection
def stop_worker(lane: Lane) -> None:
    """SIGSTOP of a worker for some seconds."""
    pause([lane.random.choice(lane.service.workers())], lane)


@injection
def kill_backend(lane: Lane) -> None:
    """kill -9 of a backend: PostgreSQL ends all others and recovers."""
    lane.random.choice(lane.database.backends()).kill()
    time.sleep(0.1)
    lane.database.start()


@injection
def kill_while_a_month_is_made(lane: Lane) -> None:
    """kill -9 of all workers, or of the backend, while a month gets its partition."""
    deadline = time.monotonic() + NEXT_MONTH
    with lane.database.connect() as connection:
        while not (maker := connection.execute(MAKER).fetchone()):
            assert time.monotonic() < deadline, "no month was made"
            time.sleep(0.001)
    if lane.random.random() < 0.5:
        kill_all_workers(lane)
        return
    with suppress(psutil.NoSuchProcess):
        psutil.Process(maker[0]).kill()
    lane.database.start()


@injection
def terminate_backends(lane: Lane) -> None:
    """pg_terminate_backend for all connections."""
    lane.database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )


@injection
def cancel_statements(lane: Lane) -> None:
    """pg_cancel_backend for all running statements, again and again."""
    with lane.database.connect() as connection:
        for _ in range(30):
            connection.execute(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND state = 'active' AND pid <> pg_backend_pid()"
            )
            time.sleep(0.03)


@injection
def kill_postmaster(lane: Lane) -> None:
    """kill -9 of the postmaster; a supervisor starts it again."""
    lane.database.signal(signal.SIGKILL)
    lane.database.wait_for_end()
    lane.database.start()


@injection
def stop_immediately(lane: Lane) -> None:
    """PostgreSQL stops at once and writes nothing more, and starts again after a second or two."""
    lane.database.signal(signal.SIGQUIT)
    lane.database.wait_for_end()
    lane.hold()
    lane.database.start()


@injection
def restart_fast(lane: Lane) -> None:
    """A fast stop and a start of PostgreSQL."""
    lane.database.signal(signal.SIGINT)
    lane.database.wait_for_end()
    lane.database.start()


@injection
def stop_backends(lane: Lane) -> None:
    """SIGSTOP of all backends for some seconds."""
    pause(lane.database.backends(), lane)


@injection
def stop_postmaster(lane: Lane) -> None:
    """SIGSTOP of the postmaster: old connections work, new ones hang."""
    assert lane.database.process is not None
    pause([psutil.Process(lane.database.process.pid)], lane)


def pause(processes: list[psutil.Process], lane: Lane) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    lane.hold()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()
