"""New releases, second servers and poolers while clients send."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx

from salesengine.embedded import server as embedded
from salesengine.tests.faults.database import USER
from salesengine.tests.faults.lane import Lane, injection, lossless, rare
from salesengine.tests.faults.service import Service, wait_for
from salesengine.tests.proxy import production
from salesengine.tests.release import RELEASE
from salesengine.tests.servers import ROOT, free_port

BACK_WITHIN = 12  # seconds
POOLER = """
[databases]
* = host={socket} port={server_port} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = 40
"""


@lossless
@injection
def reload(lane: Lane) -> None:
    """SIGHUP: all workers are replaced, five times in a row."""
    for _ in range(5):
        lane.service.reload()


@lossless
@injection
def new_release(lane: Lane) -> None:
    """SIGUSR2 and SIGTERM: master and workers are replaced, twice in a row."""
    for _ in range(2):
        lane.service.replace()


@injection
def second_server_dies(lane: Lane) -> None:
    """A second application server on the same database joins, and is killed."""
    with second_service(lane, lane.proxy.url):
        lane.hold()


@injection
def session_pooler(lane: Lane) -> None:
    """A second application server reaches the database through PgBouncer (pool_mode = session), which is killed."""
    with pooler(lane, "session") as pgbouncer, second_service(lane, pgbouncer.url):
        lane.hold()
        pgbouncer.kill()
        lane.hold()


@injection
def pooler_restarts(lane: Lane) -> None:
    """A second application server reaches the database through PgBouncer, which is killed and started again."""
    with pooler(lane, "session") as pgbouncer, second_service(lane, pgbouncer.url) as service:
        lane.hold()
        pgbouncer.kill()
        lane.hold()
        pgbouncer.start()
        wait_for(lambda: is_ready(service), "the service behind PgBouncer does not come back", BACK_WITHIN)
        lane.hold()


def is_ready(service: Service) -> bool:
    return httpx.get(f"{service.url}/readyz", timeout=30).status_code == 200


@injection
def transaction_pooler(lane: Lane) -> None:
    """A start behind a PgBouncer that pools transactions is refused."""
    with pooler(lane, "transaction") as pgbouncer:
        finished = manage(pgbouncer.url, "prepare")
    assert finished.returncode == 1, finished.stderr
    assert "pools transactions" in finished.stderr, finished.stderr


@rare
@injection
def migration(lane: Lane) -> None:
    """The migrations of other apps than that of the sales are undone, and made again."""
    targets = {app: name for app, name in RELEASE.items() if app != "sales"}  # the service needs all of those
    calls = [f"call_command('migrate', {app!r}, {name!r}, verbosity=0)" for app, name in targets.items()]
    script = ["import django; django.setup()", "from django.core.management import call_command", *calls]
    finished = run(lane.proxy.url, "-c", "\n".join([*script, "call_command('prepare')"]))
    assert finished.returncode == 0, finished.stderr


def manage(url: str, *command: str) -> subprocess.CompletedProcess[str]:
    return run(url, "manage.py", *command)


def run(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the settings of a service on this database."""
    environment = os.environ | production(url) | {"ENV_FILE": os.devnull}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )


@contextmanager
def second_service(lane: Lane, url: str, **settings: str) -> Iterator[Service]:
    """Run a second service that gets half of the requests, and kill it at the end."""
    folder = lane.service.folder / "second"
    folder.mkdir(exist_ok=True)
    service = Service(folder, url, **settings)
    service.start()
    address = f"127.0.0.1:{service.port}"
    lane.load.addresses.append(address)
    try:
        yield service
    finally:
        lane.load.addresses.remove(address)
        service.kill()


class Pooler:
    """A PgBouncer in this mode in front of the database."""

    def __init__(self, lane: Lane, mode: str) -> None:
        self.port, name = free_port(), embedded.DATABASE
        self.configuration = lane.folder / "pgbouncer.ini"
        self.configuration.write_text(
            POOLER.format(socket=lane.database.data, server_port=embedded.PORT, user=name, port=self.port, mode=mode)
        )
        self.url = f"postgres://{name}@127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        command = ["pgbouncer", "--quiet", str(self.configuration)]
        self.process = subprocess.Popen(command, user=USER, group=USER, extra_groups=[] if USER else None)
        wait_for(lambda: self.process.poll() is None and is_open(self.port), "PgBouncer does not start", 10)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def pooler(lane: Lane, mode: str) -> Iterator[Pooler]:
    """Run PgBouncer in this mode."""
    running = Pooler(lane, mode)
    try:
        running.start()
        yield running
    finally:
        running.kill()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@rare
@injection
def lagging_replica(lane: Lane) -> None:
    """Reports run on a replica that stands still; it must not slow down the sales, nor fail the reports."""
    folder = lane.folder / "replica"
    with ExitStack() as stack:
        replica = stack.enter_context(lane.database.replica(folder))
        replica.execute("SELECT pg_wal_replay_pause()")
        name = embedded.DATABASE
        url = f"postgres://{name}@/{replica.data}/{name}"
        service = stack.enter_context(second_service(lane, lane.proxy.url, REPORTS_DATABASE_URL=url))
        lane.hold()
        before = httpx.get(f"{service.url}/reports/top_brands", timeout=30)
        lane.hold()
        after = httpx.get(f"{service.url}/reports/top_brands", timeout=30)
    assert (before.status_code, after.status_code) == (200, 200), after.text
    assert before.text == after.text, "the replica does not stand still"
