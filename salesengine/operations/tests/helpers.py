"""Settings of the running PostgreSQL, and the workers of a running service."""

import os
import random
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import psutil

from salesengine.tests.servers import connect_database, wait_until

WORKERS = 2  # of a service that `Workers` watches


@contextmanager
def server_setting(folder, name, value):
    """Change a setting of the running PostgreSQL, and restore it."""
    with connect_database(folder) as database:
        database.execute(f"ALTER SYSTEM SET {name} = {value}")
        database.execute("SELECT pg_reload_conf()")
        time.sleep(0.5)
        try:
            yield
        finally:
            database.execute("SET transaction_read_only = off")
            database.execute(f"ALTER SYSTEM RESET {name}")
            database.execute("SELECT pg_reload_conf()")
            time.sleep(0.5)


class Workers:
    """The workers of the gunicorn at this URL, which must be a child of this process."""

    def __init__(self, url: str) -> None:
        port = urlsplit(url).port
        [self.master] = [child for child in psutil.Process().children() if listens(child, port)]

    def pids(self) -> set[int]:
        """Return the ids of the running workers, without PostgreSQL and dead processes."""
        command = self.master.cmdline()
        return {child.pid for child in self.master.children() if is_running(child, command)}

    def kill_one(self) -> None:
        """Kill a random worker, and wait until it has been replaced."""
        victim = random.choice(sorted(self.pids()))
        os.kill(victim, 9)
        wait_until(lambda: len(self.pids() - {victim}) >= WORKERS, seconds=60)


def listens(process: psutil.Process, port: int | None) -> bool:
    connections = process.net_connections("tcp")
    return any(connection.status == psutil.CONN_LISTEN and connection.laddr.port == port for connection in connections)


def is_running(process: psutil.Process, command: list[str]) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.cmdline() == command
    except psutil.NoSuchProcess:
        return False


def count_clients(pid):
    """Return the number of connections that a process has accepted."""
    return sum(1 for each in psutil.Process(pid).net_connections("tcp") if each.status == psutil.CONN_ESTABLISHED)
