"""The private PostgreSQL: processes share it, the last one stops it, and it survives crashes."""

import gzip
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from salesengine.embedded import locks
from salesengine.embedded import server as embedded
from salesengine.embedded.archiving import ARCHIVE_COMMAND
from salesengine.embedded.programs import BINARIES, EmbeddedServerError, let_others_read
from salesengine.tests.servers import ROOT, connect_database, wait_until

pytestmark = pytest.mark.slow

USER = """
import sys
from pathlib import Path
from salesengine.embedded import server as embedded
embedded.start(Path(sys.argv[1]))
print("started", flush=True)
{then}
sys.stdin.read()
"""

CONNECT = """
import psycopg
database = psycopg.connect(host=embedded.socket_dir(Path(sys.argv[1])), user="salesengine", dbname="salesengine")
"""
# Ends when PostgreSQL finds no space for its log, and begins to recover.
FILL_DISK = """
try:
    database.execute("SELECT pg_logical_emit_message(false, '', repeat('-', 1000000)) FROM generate_series(1, 100)")
except psycopg.OperationalError:
    print("full", flush=True)
"""


@pytest.fixture
def local_dir():
    # Outside of pytest's folders, because as root the server runs as another user, which cannot enter those.
    with tempfile.TemporaryDirectory(prefix="salesengine-", ignore_cleanup_errors=True) as folder:
        local_dir = Path(folder).resolve() / "local"
        yield local_dir
        for pid in servers(local_dir):
            os.kill(pid, signal.SIGQUIT)


@pytest.fixture
def use(local_dir):
    """Return a function that starts a process, which runs `then` and uses the server until its stdin closes."""
    users = []

    def start(then=""):
        user = subprocess.Popen(
            [sys.executable, "-c", USER.format(then=then), str(local_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        users.append(user)
        assert user.stdout.readline() == "started\n"
        return user

    yield start
    for user in users:
        user.kill()
        user.wait()
        user.stdin.close()
        user.stdout.close()


def run_user(local_dir, then=""):
    """Run a process that uses the server until it exits."""
    command = [sys.executable, "-c", USER.format(then=then), str(local_dir)]
    return subprocess.run(command, input="", capture_output=True, text=True, timeout=60, check=False)


def exit_user(user):
    user.stdin.close()
    assert user.wait(timeout=60) == 0


def servers(local_dir):
    """Return the process ids of the servers on this data, without their children, whose command lines differ."""
    data_dir = str(local_dir / "postgres")
    running = psutil.process_iter(["cmdline", "cwd"])
    return [process.pid for process in running if process.info["cwd"] == data_dir and "-D" in process.info["cmdline"]]


def test_processes_share_one_server_and_the_last_one_stops_it(local_dir, use):
    first, second = use(), use()
    running = servers(local_dir)

    exit_user(first)
    still_running = servers(local_dir)
    exit_user(second)

    assert len(running) == 1
    assert still_running == running
    assert servers(local_dir) == []


def test_processes_that_start_together_share_one_server(local_dir, use):
    with ThreadPoolExecutor(4) as pool:
        finished = list(pool.map(lambda _: run_user(local_dir, "import time; time.sleep(1)"), range(4)))

    assert [(process.returncode, process.stdout) for process in finished] == [(0, "started\n")] * 4
    assert servers(local_dir) == []


def test_a_server_that_has_met_a_full_disk_is_stopped_at_once(local_dir):
    """It recovers by then, so it has nothing to write. An orderly stop would last for minutes, or for ever."""
    local_dir.mkdir(mode=0o755, parents=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=90m,mode=755", "tmpfs", local_dir]).returncode:
        pytest.skip("this user cannot mount a disk")
    try:
        full = run_user(local_dir, f"{CONNECT}\n{FILL_DISK}")
        again = run_user(local_dir)
        left = servers(local_dir)
    finally:
        subprocess.run(["umount", "--lazy", local_dir], check=True)
    assert (full.returncode, full.stdout) == (0, "started\nfull\n")
    assert again.returncode == 1
    assert "No space left on device" in again.stderr
    assert left == []


def test_a_server_that_is_stopping_already_is_stopped_in_order(local_dir, use):
    user = use()
    with connect_database(local_dir):  # the server waits for this session to end
        os.kill(servers(local_dir)[0], signal.SIGTERM)
        wait_until(lambda: (local_dir / "postgres" / "postmaster.pid").read_text().split()[-1] == "stopping")
        exit_user(user)
        control = subprocess.run(
            [BINARIES / "pg_controldata", local_dir / "postgres"], capture_output=True, text=True, check=True
        ).stdout
    assert re.search(r"Database cluster state: +shut down\n", control)


def test_a_process_that_uses_the_server_does_not_wait_while_it_is_restarted(local_dir, monkeypatch):
    monkeypatch.setattr(embedded, "_users_lock", 0)
    with ThreadPoolExecutor(1) as pool, embedded._thread_lock:  # as `restart_if_dead` does
        pool.submit(embedded.start, local_dir).result(timeout=10)


def test_a_start_does_not_wait_for_ever_for_another_process(local_dir, monkeypatch):
    monkeypatch.setattr(locks, "START_STOP_TIMEOUT", 0.2)
    monkeypatch.setattr(embedded, "_users_lock", None)  # this process may use the tests' server
    local_dir.mkdir()
    with (
        embedded.start_stop_lock(local_dir),
        pytest.raises(EmbeddedServerError, match="Another process has been starting, stopping or upgrading"),
    ):
        embedded.start(local_dir)


def test_a_fork_that_exits_leaves_the_server_running(local_dir, use):
    user = use("import os\nif child := os.fork(): os.waitpid(child, 0)\nelse: sys.exit()\nprint('ended', flush=True)")

    assert user.stdout.readline() == "ended\n"
    assert len(servers(local_dir)) == 1


def test_a_fork_keeps_the_server_running_when_its_parent_is_killed(local_dir, use):
    parent = use("import os, time\nif os.fork() == 0: time.sleep(3); os._exit(0)")
    other = use()
    parent.kill()
    parent.wait()

    exit_user(other)

    assert len(servers(local_dir)) == 1


def test_a_killed_process_does_not_keep_the_server_running(local_dir, use):
    killed, other = use(), use()
    killed.kill()
    killed.wait()

    exit_user(other)

    assert servers(local_dir) == []


def test_a_killed_server_restarts_with_every_committed_row(local_dir, use):
    use()
    with connect_database(local_dir) as connection:
        connection.execute("CREATE TABLE numbers (number int)")
        for number in range(100):
            connection.execute("INSERT INTO numbers VALUES (%s)", [number])
        [server] = servers(local_dir)
        os.kill(server, signal.SIGKILL)

    use()

    with connect_database(local_dir) as connection:
        assert connection.execute("SELECT count(*) FROM numbers").fetchone() == (100,)


def test_no_server_starts_while_a_child_of_a_killed_server_still_runs(local_dir, use):
    use()
    with connect_database(local_dir) as connection, ThreadPoolExecutor(1) as pool:
        child = connection.info.backend_pid
        os.kill(child, signal.SIGSTOP)
        os.kill(servers(local_dir)[0], signal.SIGKILL)

        next_start = pool.submit(use)
        time.sleep(1)
        waited = not next_start.done()
        os.kill(child, signal.SIGCONT)
        next_start.result(timeout=30)

    assert waited


def test_the_server_starts_although_pid_and_socket_files_name_another_process(local_dir, use):
    exit_user(use())
    owner = (local_dir / "postgres").owner()
    other = subprocess.Popen(["sleep", "60"], user=owner if os.geteuid() == 0 else None)
    lines = "\n".join([str(other.pid), str(local_dir / "postgres"), "1", "5432", "", "", "1 1", "ready"])
    (local_dir / "postgres" / "postmaster.pid").write_text(lines)
    sockets = embedded.socket_dir(local_dir)
    (sockets / ".s.PGSQL.5432.lock").write_text(lines)
    (sockets / ".s.PGSQL.5432").touch()

    try:
        use()
    finally:
        other.kill()
        other.wait()

    assert len(servers(local_dir)) == 1


def test_the_server_starts_although_its_pid_file_is_empty(local_dir, use):
    exit_user(use())
    (local_dir / "postgres" / "postmaster.pid").touch()

    use()

    assert len(servers(local_dir)) == 1


def test_the_folder_may_have_quotes_and_other_characters_that_a_shell_reads(local_dir):
    odd = local_dir / 'it\'s a "co$t", or `a tick`; \\ and $(more)'

    results = [run_user(odd) for _ in range(2)]

    assert [(result.returncode, result.stdout) for result in results] == [(0, "started\n")] * 2, results[0].stderr
    assert servers(odd) == []


def test_a_project_in_such_a_folder_gets_a_message(local_dir, monkeypatch):
    monkeypatch.setattr(embedded, "BINARIES", Path("/srv/co$t/bin"))
    monkeypatch.setattr(embedded, "_users_lock", None)  # as in a process that does not use a server yet

    with pytest.raises(embedded.EmbeddedServerError, match="Move the project"):
        embedded.start(local_dir)


def test_a_quarter_of_the_memory_is_for_the_buffers(local_dir, use):
    use()

    with connect_database(local_dir) as database:
        [size] = database.execute("SELECT pg_size_bytes(current_setting('shared_buffers'))").fetchone()
    assert size == pytest.approx(embedded.memory() / 4, abs=2**20)


def test_the_log_is_overwritten_after_a_week_and_after_a_restart(local_dir, use):
    for _ in range(2):
        exit_user(use())

    files = list((local_dir / "postgres" / "log").iterdir())
    with (local_dir / "postgres.log").open() as start_log:
        assert len(start_log.readlines()) < 5
    assert re.fullmatch(r"postgres-[A-Z][a-z]{2}\.log", files[0].name)
    assert "log_truncate_on_rotation=on" in (local_dir / "postgres" / "postmaster.opts").read_text()


def test_a_partly_created_database_is_created_again(local_dir, use):
    (local_dir / "postgres.new" / "base").mkdir(parents=True)
    (local_dir / "postgres.new" / "PG_VERSION").write_text("18")

    use()

    with connect_database(local_dir) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_the_socket_gets_a_short_path_if_the_folder_has_a_long_one(local_dir):
    deep = local_dir / ("d" * 60) / ("e" * 60)

    result = run_user(deep)

    assert result.returncode == 0, result.stderr
    assert len(str(embedded.socket_dir(deep))) < 100


def test_other_users_cannot_connect_to_the_server(local_dir, use):
    use()

    socket_file = embedded.socket_dir(local_dir) / ".s.PGSQL.5432"
    with connect_database(local_dir) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    assert (local_dir / "postgres").stat().st_mode & 0o077 == 0
    assert socket_file.stat().st_mode & 0o077 == 0


def test_a_process_restarts_a_dead_server(local_dir, use):
    user = use("sys.stdin.readline(); print(embedded.restart_if_dead(Path(sys.argv[1])), flush=True)")
    [server] = servers(local_dir)
    os.kill(server, signal.SIGKILL)
    user.stdin.write("\n")
    user.stdin.flush()

    assert user.stdout.readline() == "True\n"
    with connect_database(local_dir) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_the_last_process_exits_cleanly_after_the_server_has_died(local_dir, use):
    user = use()
    os.kill(servers(local_dir)[0], signal.SIGKILL)

    exit_user(user)


def test_a_failed_start_raises_an_error_with_the_output_of_postgresql(local_dir, use):
    exit_user(use())
    (local_dir / "postgres" / "postgresql.conf").write_text("no_such_setting = 1\n")

    with pytest.raises(embedded.EmbeddedServerError, match="no_such_setting"):
        embedded._start_server(Path(local_dir))


def test_a_failed_start_raises_an_error_with_the_reason_in_the_log_of_the_server(local_dir, use):
    exit_user(use())
    (local_dir / "postgres" / "pg_wal").rename(local_dir / "postgres" / "moved")

    with pytest.raises(embedded.EmbeddedServerError, match=r"FATAL:  required WAL .* does not exist$"):
        embedded._start_server(Path(local_dir))

    (local_dir / "postgres" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(embedded.EmbeddedServerError, match="no_such_setting") as raised:
        embedded._start_server(Path(local_dir))
    assert "pg_wal" not in str(raised.value)  # the reason of the start before


def test_a_service_without_its_server_exits_with_one_line_that_says_why(local_dir, use):
    exit_user(use())
    (local_dir / "postgres" / "pg_wal").rename(local_dir / "postgres" / "moved")
    command = [sys.executable, "-m", "gunicorn", "--config", "python:salesengine.gunicorn", "salesengine.wsgi"]
    variables = os.environ | {"ENV_FILE": os.devnull, "DATABASE_URL": "", "LOCAL_DIR": str(local_dir), "PORT": "0"}

    finished = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60, check=False)

    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    last = finished.stderr.splitlines()[-1]
    assert last.startswith("Cannot use the database: pg_ctl failed: ")
    assert last.endswith('FATAL: required WAL directory "pg_wal" does not exist')


def test_a_failed_start_leaves_no_server_behind(local_dir, monkeypatch):
    monkeypatch.setattr(embedded, "_users_lock", None)  # as in a process that does not use a server yet
    monkeypatch.setattr(embedded, "_is_ready", lambda _: False)
    monkeypatch.setattr(embedded, "START_TIMEOUT", 5)

    with pytest.raises(embedded.EmbeddedServerError):
        embedded.start(local_dir)

    assert servers(local_dir) == []


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_an_error_of_the_server(tmp_path, monkeypatch, name):
    monkeypatch.setattr(embedded, "_users_lock", None)
    (tmp_path / "file").touch()

    with pytest.raises(embedded.EmbeddedServerError, match=r"cannot be started: .*file"):
        embedded.start(tmp_path / name)


def test_the_server_starts_without_programs_on_the_path(local_dir, monkeypatch):
    monkeypatch.setenv("PATH", "")

    result = run_user(local_dir)

    assert (result.returncode, result.stdout) == (0, "started\n"), result.stderr


def test_the_log_is_archived_without_a_path(tmp_path):
    (tmp_path / "log").write_text("changes")
    command = ARCHIVE_COMMAND.format(folder=tmp_path).replace("%f", "log").replace("%p", str(tmp_path / "log"))

    subprocess.run(["/bin/sh", "-c", command], env={"PATH": ""}, check=True)

    assert gzip.decompress((tmp_path / "log.gz").read_bytes()) == b"changes"


def test_others_may_read_what_a_strict_umask_hid(tmp_path):
    (tmp_path / "bin").mkdir(mode=0o700)
    for name, mode in (("program", 0o700), ("data", 0o600)):
        (tmp_path / "bin" / name).touch(mode=mode)

    let_others_read(tmp_path / "bin")

    modes = [
        path.stat().st_mode & 0o007 for path in (tmp_path / "bin", tmp_path / "bin/program", tmp_path / "bin/data")
    ]
    assert modes == [0o5, 0o5, 0o4]
