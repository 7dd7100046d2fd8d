"""Django's PostgreSQL backend for the embedded server. The first connection starts the server."""

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db.backends.postgresql import client
from psycopg import OperationalError

from salesengine.embedded import server as embedded
from salesengine.embedded.programs import BINARIES
from salesengine.postgresql import base

CONNECT_TIMEOUT = 3  # seconds; a server that is suspended (SIGSTOP) accepts connections, but does not answer


class DatabaseClient(client.DatabaseClient):
    """Run `manage.py dbshell` with the psql of the embedded server."""

    executable_name = str(BINARIES / "psql")

    def runshell(self, parameters: Iterable[str]) -> None:
        embedded.start(settings.LOCAL_DIR, settings.WAL_ARCHIVE)
        super().runshell(parameters)


class DatabaseWrapper(base.DatabaseWrapper):
    """Start the server before connecting to it, directly or from a pool. Restart the server if it has died."""

    client_class = DatabaseClient

    def get_connection_params(self) -> dict[str, Any]:
        embedded.start(settings.LOCAL_DIR, settings.WAL_ARCHIVE)
        return {"connect_timeout": CONNECT_TIMEOUT} | super().get_connection_params()

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        try:
            return super().get_new_connection(conn_params)
        except OperationalError:
            if self.pool or not embedded.restart_if_dead(settings.LOCAL_DIR, settings.WAL_ARCHIVE):
                raise
            return super().get_new_connection(conn_params)

    def connect_directly(self, conn_params: dict[str, Any]) -> None:
        embedded.restart_if_dead(settings.LOCAL_DIR, settings.WAL_ARCHIVE)
        super().connect_directly(conn_params)
