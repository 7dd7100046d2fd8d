"""A PostgreSQL of a round, which only the round starts, stops and kills."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg

from salesengine.embedded import server as embedded
from salesengine.embedded.programs import BINARIES, SYSTEM_USER
from salesengine.tests.servers import empty_folder

DISK = "600m"
# Without synchronous_commit, a crash loses what clients do not protect themselves: the service must.
OPTIONS = {
    "listen_addresses": "",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "min_wal_size": "32MB",
    "max_wal_size": "64MB",
    "wal_writer_delay": "10s",
    "synchronous_commit": "off",
    "log_checkpoints": "off",
    "autovacuum_naptime": "10s",
}
USER = SYSTEM_USER if os.geteuid() == 0 else None
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PG")}


@contextmanager
def small_disk() -> Iterator[Path]:
    """Yield a folder on a disk of its own that a fault can fill. Only root can mount one; otherwise a plain folder."""
    with empty_folder() as folder:
        folder.chmod(0o755)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "tmpfs", folder]
        subprocess.run(mount, check=False, stderr=subprocess.DEVNULL)
        try:
            yield folder
        finally:
            if folder.is_mount():
                subprocess.run(["umount", "--lazy", folder], check=True)


class Postgres:
    """A server in this folder, on a Unix socket in its data directory."""

    def __init__(self, folder: Path, source: Path) -> None:
        """`source` is a data directory to copy, or an empty path to use the one that is in the folder."""
        self.folder, self.data = folder, folder / "postgres"
        self.process: subprocess.Popen[bytes] | None = None
        if source != Path():
            subprocess.run(["cp", "-a", source, self.data], check=True)  # keeps the owner

    def start(self) -> None:
        """Start the server unless it runs, and wait until it accepts connections."""
        deadline = time.monotonic() + 60
        while not self.is_ready():
            assert time.monotonic() < deadline, f"PostgreSQL does not start: {self.log()[-2000:]}"
            if self.process is None or self.process.poll() is not None:  # also while an old server still ends
                self._launch()
            time.sleep(0.05)

    def _launch(self) -> None:
        options = OPTIONS | {"unix_socket_directories": str(self.data)}
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        log = (self.folder / "postgres.log").open("ab")
        command = [BINARIES / "postgres", "-D", self.data, *arguments]
        self.process = subprocess.Popen(
            command, stdout=log, stderr=log, user=USER, group=USER, extra_groups=[] if USER else None, env=ENVIRONMENT
        )
        log.close()

    def is_ready(self) -> bool:
        with suppress(psycopg.OperationalError):
            self.connect().close()
            return True
        return False

    def connect(self, **options: Any) -> psycopg.Connection:
        """Connect without the proxy, in autocommit mode."""
        name = embedded.DATABASE
        return psycopg.connect(
            host=str(self.data), user=name, dbname=name, autocommit=True, connect_timeout=5, options="", **options
        )

    def execute(self, statement: str) -> None:
        with self.connect() as connection:
            connection.execute(statement)

    def signal(self, number: int) -> None:
        """Send a signal to the postmaster."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait_for_end(self) -> None:
        assert self.process is not None
        self.process.wait(timeout=60)

    @contextmanager
    def replica(self, folder: Path) -> Iterator["Postgres"]:
        """Run a streaming replica in this folder, and remove it at the end."""
        folder.mkdir()
        try:
            if USER:
                shutil.chown(folder, USER, USER)
            command = [BINARIES / "pg_basebackup", "-D", folder / "postgres", "-h", self.data]
            command += ["-U", embedded.DATABASE, "--checkpoint=fast", "--write-recovery-conf"]
            extra_groups: list[str] | None = [] if USER else None
            subprocess.run(command, check=True, capture_output=True, user=USER, group=USER, extra_groups=extra_groups)
            replica = Postgres(folder, Path())
            (replica.data / f".s.PGSQL.{embedded.PORT}.lock").unlink()  # of the socket of the primary
            replica.start()
            try:
                yield replica
            finally:
                replica.stop()
        finally:
            shutil.rmtree(folder)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGQUIT)
            self.wait_for_end()

    def backends(self) -> list[psutil.Process]:
        """Return the processes that serve the connections of the service."""
        with self.connect() as connection:
            rows = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            ).fetchall()
        found = []
        for (pid,) in rows:
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(pid))
        return found

    def log(self) -> str:
        path = self.folder / "postgres.log"
        return path.read_text(errors="replace") if path.exists() else ""
