"""Measure batches of 5,000 events from two clients: POST /ingest, DRF with bulk_create, and COPY alone."""

import http.client
import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from benchmarks import raw_copy
from benchmarks.service import Service, note, service
from sales.totals.isolation import FOLD_LOCK

CLIENTS = 2
BATCH = 5_000
BATCHES = 20  # per run, for all clients together
START = 200_000  # demo sales before each run
TABLES = (
    *("sales", "voided_sale", "ledger", "feedback_daily_total", "feedback_total"),
    *("country_daily_total", "country_day", "country_total", "ingest_minute"),
)


def measure(rounds: int, *, bare: bool) -> None:
    rates: dict[str, list[float]] = defaultdict(list)
    with service(API_KEY_REQUIRED="true", WEB_CONCURRENCY="2") as measured:
        measured.manage("load_demo", "--sales", str(START))
        with measured.serving():
            bench = BatchesBench(measured)
            if bare:
                bench.drop_indexes()
            # /ingest runs last, so that verify_feedback checks its totals: COPY and DRF do not update them.
            methods = {"COPY": bench.copy, "/drf": bench.post_to("/drf"), "/ingest": bench.post_to("/ingest")}
            for number in range(rounds):
                for name, send in methods.items():
                    rates[name].append(bench.run(send))
                    note(f"round {number + 1}: {name}: {rates[name][-1]:,.0f} events/s")
        measured.manage("verify_feedback")
    report(rates)


class BatchesBench:
    """Send the same batches again and again, each time to the same initial tables."""

    def __init__(self, measured: Service) -> None:
        self.measured = measured
        self.headers = {"Authorization": f"Api-Key {measured.make_key()}", "Content-Type": "application/json"}
        self.database = measured.connect_database()
        for table in TABLES:
            self.database.execute(f"CREATE TABLE {table}_before AS TABLE {table}")
        lines = measured.write_events(BATCH * BATCHES, "--random-ids").read_text().splitlines()
        batches = [lines[start : start + BATCH] for start in range(0, len(lines), BATCH)]
        self.bodies = [f"[{','.join(batch)}]".encode() for batch in batches]
        self.blocks = [b"".join(map(raw_copy.row, batch)) for batch in batches]

    def run(self, send: Callable[[int], None]) -> float:
        """Send the batches from all clients at once and return the events/s."""
        self._restore()
        with ThreadPoolExecutor(CLIENTS) as pool:
            start = time.perf_counter()
            list(pool.map(send, range(CLIENTS)))
            return BATCH * BATCHES / (time.perf_counter() - start)

    def drop_indexes(self) -> None:
        """Drop all indexes except the primary key, to measure the methods without index maintenance."""
        names = self.database.execute(
            "SELECT indexname FROM pg_indexes WHERE tablename = 'sales' AND indexname <> 'sales_pkey'"
        ).fetchall()
        self.database.execute(f"DROP INDEX {', '.join(name for (name,) in names)}")

    def _restore(self) -> None:
        self.database.execute("SELECT pg_advisory_lock(%s)", [FOLD_LOCK])  # waits for a fold of the run before
        self.database.execute(f"TRUNCATE {', '.join(TABLES)}")
        for table in TABLES:
            self.database.execute(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE TABLE {table}_before")
        for table in TABLES:
            self.database.execute(f"VACUUM ANALYZE {table}")
        self.database.execute("SELECT pg_advisory_unlock(%s)", [FOLD_LOCK])
        self.database.execute("CHECKPOINT")

    def post_to(self, path: str) -> Callable[[int], None]:
        def post(client: int) -> None:
            connection = self.measured.connect()
            for body in _share(self.bodies, client):
                _post(connection, path, body, self.headers)
            connection.close()

        return post

    def copy(self, client: int) -> None:
        with self.measured.connect_database() as connection:
            for block in _share(self.blocks, client):
                raw_copy.copy_block(connection, block)


def _share(batches: Sequence[bytes], client: int) -> Sequence[bytes]:
    return batches[client::CLIENTS]


def _post(connection: http.client.HTTPConnection, path: str, body: bytes, headers: dict[str, str]) -> None:
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    content = response.read()
    if response.status != 201 or json.loads(content)["accepted"] != BATCH:
        raise RuntimeError(f"{path} returned {response.status}: {content[:500]!r}")


def report(rates: dict[str, list[float]]) -> None:
    print(f"batches of {BATCH:,}, {CLIENTS} clients")
    medians = {name: median(method_rates) for name, method_rates in rates.items()}
    for name, rate in medians.items():
        print(f"{name:<16}{rate:>12,.0f} events/s")
    print(f"/ingest / /drf            {medians['/ingest'] / medians['/drf']:>6.2f}    target: at least 10")
    print(f"/ingest / COPY            {medians['/ingest'] / medians['COPY']:>6.2f}    target: at least 0.75")
