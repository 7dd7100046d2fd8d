"""New releases, second servers and poolers while clients send."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from salesengine.embedded import server as embedded
from salesengine.tests.faults.database import USER
from salesengine.tests.faults.lane import Lane, injection, lossless
from salesengine.tests.faults.service import Service, wait_for
from salesengine.tests.proxy import production
from salesengine.tests.servers import ROOT, free_port
from salesengine.tests.release import RELEASE

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
    """SIGHUP: all workers are replaced."""
    lane.service.reload()


@lossless
@injection
def new_release(lane: Lane) -> None:
    """SIGUSR2 and SIGTERM: master and workers are replaced."""
    lane.service.replace()


@injection
def second_server_dies(lane: Lane) -> None:
    """A second application server on the same database joins, and is killed."""
    with second_service(lane, lane.proxy.url):
        lane.hold()


@injection
def session_pooler(lane: Lane) -> None:
    """A second application server reaches the database through PgBouncer (pool_mode = session), which is killed."""
    with pooler(lane, "session") as (url, process):
        with second_service(lane, url):
            lane.hold()
            process.kill()
            lane.hold()


@injection
def transaction_pooler(lane: Lane) -> None:
    """A start behind a PgBouncer that pools transactions is refused."""
    with pooler(lane, "transaction") as (url, _):
        finished = manage(url, "prepare")
    assert finished.returncode == 1, finished.stderr
    assert "pools transactions" in finished.stderr, finished.stderr


@injection
def migration(lane: Lane) -> None:
    """The database goes back to the last release, and is migrated again."""
    url = lane.proxy.url
    for app, name in RELEASE.items():
        finished = manage(url, "migrate", app, name)
        assert finished.returncode == 0, finished.stderr
    finished = manage(url, "prepare")
    assert finished.returncode == 0, finished.stderr


def manage(url: str, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | production(url) | {"ENV_FILE": os.devnull}
    command = (sys.executable, "manage.py", *command)
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)


@contextmanager
def second_service(lane: Lane, url: str) -> Iterator[None]:
    """Run a second service that gets half of the requests, and kill it at the end."""
    folder = lane.service.folder / "second"
    folder.mkdir(exist_ok=True)
    service = Service(folder, url)
    service.start()
    address = f"127.0.0.1:{service.port}"
    lane.load.addresses.append(address)
    try:
        yield
    finally:
        lane.load.addresses.remove(address)
        service.stop()


@contextmanager
def pooler(lane: Lane, mode: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run PgBouncer in this mode. Yields the URL of the database, and the process."""
    port = free_port()
    folder: Path = lane.service.folder / "pgbouncer"
    folder.mkdir(exist_ok=True)
    lane.database.give(folder)
    name = embedded.DATABASE
    (folder / "ini").write_text(
        POOLER.format(socket=lane.database.data, server_port=embedded.PORT, user=name, port=port, mode=mode)
    )
    command = ["pgbouncer", "--quiet", str(folder / "ini")]
    process = subprocess.Popen(command, user=USER, group=USER, extra_groups=[] if USER else None)
    url = f"postgres://{name}@127.0.0.1:{port}/{name}"
    try:
        wait_for(lambda: process.poll() is None and is_open(port), "PgBouncer does not start", 10)
        yield url, process
    finally:
        process.kill()
        process.wait()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
