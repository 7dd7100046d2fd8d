"""A service with a key for each kind of caller, whose limits are low enough to reach."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg

from salesengine.tests.servers import connect_database, new_folder, new_key, serve

SETTINGS = {
    "API_KEY_REQUIRED": "true",
    "RATE_LIMIT": "100/day",
    "WEB_CONCURRENCY": "1",  # each process counts requests separately
    "INGEST_MAX_BYTES": "20000",
    "INGEST_MAX_EXPANDED_BYTES": "200000",
    "INGEST_MAX_BYTES_AT_ONCE": "200000",
    "INGEST_MAX_EVENTS": "3",
    "MAX_REJECTED_WAITING": "4",
    "SINGLES_TIMEOUT": "2",
}
REPORTS = {
    "doubtful": '[[assertions]]\nrows = ">= 2"\n*/ SELECT 1 AS one',
    "quotient": '[parameters.by]\ntype = "integer"\ndefault = 1\n*/ SELECT 12 / %(by)s AS quotient',
    "sleeps": "*/ SELECT pg_sleep(30)::text AS slept",
    "hurried": 'timeout = "1s"\n*/ SELECT pg_sleep(30)::text AS slept',
}


@dataclass(frozen=True)
class Service:
    """A running service, its clients and its database."""

    shop: httpx.Client  # has all scopes
    reader: httpx.Client  # may only read
    hasty: httpx.Client  # may only read, and exceeds the rate limit
    stranger: httpx.Client  # has no key
    database: psycopg.Connection

    def post(self, body: Any, query: str = "", **headers: str) -> httpx.Response:
        """Send a body to POST /ingest as the shop: bytes unchanged, anything else as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | headers
        return self.shop.post(f"/ingest{query}", content=content, headers=headers)

    def void(self, event_id: str) -> httpx.Response:
        return self.shop.post("/corrections", json={"EVENT_ID": event_id, "action": "void", "reason": "test order"})

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        with self.database.transaction():
            self.database.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield


@contextmanager
def running_service() -> Iterator[Service]:
    with ExitStack() as stack:
        folder = stack.enter_context(new_folder())
        for name, text in REPORTS.items():
            (folder / f"{name}.sql").write_text(f'/* title = "Probe"\ndescription = "Probe."\n{text}')
        own_reports = {"SQL_DIR": str(folder)}
        url = stack.enter_context(serve(folder, **SETTINGS, **own_reports))
        keys = [new_key(folder, "shop", "ingest", "read", "correct", "reports"), new_key(folder, "reader", "read")]
        keys.append(new_key(folder, "hasty", "read"))
        clients = [httpx.Client(base_url=url, timeout=30, headers=key) for key in keys]
        clients.append(httpx.Client(base_url=url, timeout=30))
        database = connect_database(folder)
        for connection in (*clients, database):
            stack.callback(connection.close)
        yield Service(*clients, database)
