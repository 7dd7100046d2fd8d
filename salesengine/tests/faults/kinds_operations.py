"""What operators do while clients send, and a clock that nobody has set."""

import fcntl
import os
import subprocess
import time
from contextlib import ExitStack
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from salesengine.embedded.locks import open_lock
from salesengine.tests.faults.database import Postgres
from salesengine.tests.faults.kinds_deployments import second_service
from salesengine.tests.faults.lane import Lane, injection, needs_compiler, rare
from salesengine.tests.faults.load import Outcome
from salesengine.tests.servers import empty_folder, manage

DAY = 86_400  # seconds
CLOCK = Path(__file__).with_name("wrong_clock.c")


@rare
@injection
def restore_under_load(lane: Lane) -> None:
    """A backup is taken, restored beside the service and verified. It has all sales acknowledged before it began."""
    acknowledged = {
        order
        for request in lane.load.requests
        if request.outcome is Outcome.STORED and not request.shape.invalid
        for order in request.orders()
    }
    with ExitStack() as stack:
        users = open_lock(lane.folder / "postgres.users")
        stack.callback(os.close, users)
        fcntl.flock(users, fcntl.LOCK_SH)  # otherwise the commands would stop the database when they end
        folder = stack.enter_context(empty_folder())
        backups, restored = folder / "backups", folder / "restored"
        manage(lane.folder, "backup", "--to", str(backups))
        manage(lane.folder, "restore", "--from", str(backups), "--to", str(restored))
        manage(restored, "verify_feedback")
        database = Postgres(restored, Path())
        stack.callback(database.stop)
        database.start()
        with database.connect() as connection:
            missing = acknowledged - {order for (order,) in connection.execute("SELECT id_order FROM sales")}
    assert not missing, f"the restored database lacks {len(missing)} sales"


@needs_compiler
@injection
def wrong_clock(lane: Lane) -> None:
    """The clock of a second application server is a day fast or slow."""
    error = lane.random.choice([-DAY, DAY])
    library = lane.service.folder / "wrong_clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, CLOCK, "-ldl"], check=True)
    with second_service(lane, lane.proxy.url, LD_PRELOAD=str(library), CLOCK_ERROR=str(error)) as service:
        date = parsedate_to_datetime(httpx.get(f"{service.url}/healthz").headers["Date"])
        assert abs(date.timestamp() - time.time() - error) < DAY / 2, "the clock is right"
        lane.hold()
