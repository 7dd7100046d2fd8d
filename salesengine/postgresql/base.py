"""Django's PostgreSQL backend. While PostgreSQL is away, its pools refuse connections at once.

A pool lets each thread wait for some seconds. Threads that wait cannot serve other requests, such as health checks.
"""

from typing import Any, ClassVar

from django.db.backends.postgresql import base
from psycopg import OperationalError
from psycopg_pool import ConnectionPool, PoolTimeout

from salesengine.postgresql.outage import outage
from salesengine.postgresql.slow_queries import log_if_slow


class DatabaseWrapper(base.DatabaseWrapper):
    """Refuse connections from pools at once during an outage. One thread a second tries whether it is over.

    `logs_slow_statements` is for processes that serve requests. Commands may take as long as they need.
    """

    logs_slow_statements: ClassVar[bool] = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.logs_slow_statements:
            self.execute_wrappers.append(log_if_slow)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if self.pool is None:
            return super().get_new_connection(conn_params)
        if outage.is_on and not self.pool.get_stats()["pool_available"]:
            with outage.probe():
                self.connect_directly(conn_params)
        try:
            return super().get_new_connection(conn_params)
        except (OperationalError, PoolTimeout):
            outage.begin()
            raise

    def connect_directly(self, conn_params: dict[str, Any]) -> None:
        """Connect without the pool, which waits longer and longer between its attempts."""
        self.Database.connect(**conn_params).close()


def pool_stats() -> dict[str, dict[str, int]]:
    """Return the statistics of this process's pools, by alias. psycopg_pool documents their names."""
    pools: dict[str, ConnectionPool] = DatabaseWrapper._connection_pools  # type: ignore[attr-defined]
    return {alias: pool.get_stats() for alias, pool in list(pools.items())}
