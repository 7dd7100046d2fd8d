"""A network that delays, drops and cuts: between the service and PostgreSQL, and towards clients."""

import socket
import time
from contextlib import ExitStack, suppress

from salesengine.tests.faults.lane import Lane, back_within, injection

# What a connection sends with a few sales, with many, and at the end of a transaction.
COMMIT = b"COMMIT"
WRITES = [b'"ID_ORDER":', b"COPY sales", COMMIT]

SILENCE = 12  # seconds: STATEMENT_TIMEOUT + 5, after which a silent connection is given up, and some more


@injection
def delays(lane: Lane) -> None:
    """A slow network."""
    lane.proxy.delay = 0.01 + 0.05 * lane.random.random()
    lane.hold()
    lane.proxy.delay = 0


@injection
def truncated_answers(lane: Lane) -> None:
    """Connections that break in the middle of an answer."""
    repeat(lane, lambda: lane.proxy.truncate_after(lane.random.choice(WRITES)))


@injection
def resets(lane: Lane) -> None:
    """TCP resets of all connections."""
    repeat(lane, lane.proxy.reset, 3)


@back_within(SILENCE)
@injection
def silent_connections(lane: Lane) -> None:
    """Connections that stop passing data on; new ones work."""
    lane.proxy.silence()


@back_within(SILENCE)
@injection
def silent_network(lane: Lane) -> None:
    """A network that passes nothing on for some seconds. Its connections never come back."""
    lane.proxy.is_silent = True
    lane.hold()
    lane.proxy.is_silent = False


@injection
def swallowed_commit(lane: Lane) -> None:
    """Connections that break after COMMIT, or the statement that commits itself, before PostgreSQL answers."""
    repeat(lane, lambda: lane.proxy.cut_after(lane.random.choice(WRITES)))


@injection
def silence_after_commit(lane: Lane) -> None:
    """A connection that goes silent after COMMIT."""
    lane.proxy.silence_after(lane.random.choice(WRITES))
    lane.hold()


@injection
def idle_clients(lane: Lane) -> None:
    """1,000 clients that connect and send nothing."""
    with ExitStack() as stack:
        for _ in range(1_000):
            with suppress(OSError):
                stack.enter_context(socket.create_connection(("127.0.0.1", lane.service.port), timeout=5))
        lane.hold()


def repeat(lane: Lane, break_one, times: int = 8) -> None:
    for _ in range(times):
        break_one()
        time.sleep(0.3 * lane.random.random())
