"""Measure backups: how long 10,000,000 sales take to back up and restore, and what a backup costs ingest meanwhile.

    .venv/bin/python -m benchmarks.backups [restore|load] [--sales N] [--rounds N]

`restore` backs up a database, removes it, and restores and verifies the backup: the disk (TMPDIR) needs room for two
databases, 8 GB. `load` sends single events and batches of 5,000 with and without backups, in turns. It needs `wrk`.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import mean, median
from threading import Event

from benchmarks.batches import BATCH
from benchmarks.service import ROOT, Service, note, service
from benchmarks.singles import USUAL
from benchmarks.wrk import Wrk
from salesengine.embedded import server as embedded

PARTS = ("restore", "load")
SALES = 10_000_000
DEMO = 200_000  # sales that are multiplied
LOADED = 1_000_000  # sales before the load
MAX_RATES = ("32", "1024")  # MB/s: the default, and the most
RUNS = 3  # of each kind of load in a turn
SECONDS = 5  # of single events in a run
BATCHES = 8  # in a run, from two clients
COLUMNS = (
    *("id_seller_country", "id_buyer_country", "date_payment", "brand", "category", "revenue", "received_at"),
    *("id_order", "id_product", "id_buyer", "id_seller"),
)


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.backups")
    parser.add_argument("part", nargs="?", choices=PARTS)
    parser.add_argument("--sales", type=int, default=SALES, help="for restore (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of load (default: %(default)s)")
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, load before: {os.getloadavg()[0]:.2f}")
    if options.part in (None, "restore"):
        measure_restore(options.sales)
    if options.part in (None, "load"):
        measure_load(options.rounds)


def measure_restore(sales: int) -> None:
    """Print the time and the memory of backup, verify_backup and restore."""
    with service() as measured:
        backups, restored = str(measured.folder / "backups"), measured.folder / "restored"
        # Less log of changes beside the data than the service keeps, because the disk needs room for two databases.
        embedded.SERVER_OPTIONS |= {"max_wal_size": "1GB"}
        embedded.start(measured.folder)
        multiply(measured, sales)
        measured.manage("verify_feedback", "--repair")
        with measured.connect_database() as database:
            database.execute("CHECKPOINT")
        run(measured, "backup", "--to", backups, "--max-rate", "1024")
        postmaster = measured.postmaster()
        postmaster.send_signal(signal.SIGINT)
        postmaster.wait()
        shutil.rmtree(measured.folder / "postgres")
        run(measured, "verify_backup", backups)
        run(measured, "restore", "--from", backups, "--to", str(restored))
        shutil.rmtree(backups)
        run(measured, "verify_feedback", LOCAL_DIR=str(restored))


def multiply(measured: Service, sales: int) -> None:
    """Load demo sales, and copy them under other ids, without the indexes."""
    measured.manage("load_demo", "--sales", str(DEMO), "--until", "2021-06-30")
    values = [
        f"{name} || '-' || copy" if name.startswith("id_") and "country" not in name else name for name in COLUMNS
    ]
    with measured.connect_database() as database:
        indexes = database.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'sales' AND indexname <> 'sales_pkey'"
        ).fetchall()
        database.execute(f"DROP INDEX {', '.join(name for name, _ in indexes)}")
        for copy in range(1, sales // DEMO):
            database.execute(
                f"INSERT INTO sales ({', '.join(COLUMNS)}) SELECT {', '.join(values)}"
                f" FROM sales, (VALUES ({copy})) AS copies (copy) WHERE id <= {DEMO}"
            )
            note(f"{(copy + 1) * DEMO:,} sales")
        for name, definition in indexes:
            database.execute(definition)
            note(f"index {name}")
        database.execute("VACUUM (ANALYZE) sales")
        rows = database.execute("SELECT count(*), pg_database_size(current_database()) FROM sales").fetchone()
    assert rows
    print(f"{rows[0]:,} sales, {rows[1] / 1e6:,.0f} MB")


def run(measured: Service, command: str, *arguments: str, **settings: str) -> None:
    """Run a command, and print its time and the memory of its largest process."""
    start = time.monotonic()
    environment = measured.environment | settings
    process = subprocess.Popen(
        [sys.executable, "manage.py", command, *arguments], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{command} failed")
    used = usage.ru_utime + usage.ru_stime  # without the database's
    memory = usage.ru_maxrss / 1024  # Linux reports KiB
    print(f"{command:<16}{time.monotonic() - start:>8.0f} s{used:>8.0f} s of a processor{memory:>8.0f} MiB", flush=True)


def measure_load(rounds: int) -> None:
    """Print the throughput of ingest during backups, as a fraction of that without one. Backups follow one another."""
    ratios: dict[tuple[str, str], list[float]] = {}
    with service(API_KEY_REQUIRED="true", WEB_CONCURRENCY="2") as measured:
        measured.manage("load_demo", "--sales", str(LOADED))
        with measured.serving():
            load = Load(measured)
            load.rates()  # warm-up
            for number in range(rounds):
                without = load.rates()
                for max_rate in MAX_RATES:
                    with backups(measured, max_rate):
                        during = load.rates()
                    for name, rate in without.items():
                        ratios.setdefault((name, max_rate), []).append(during[name] / rate)
                        text = f"round {number + 1}: {name}: {rate:,.0f} events/s, during backups {during[name]:,.0f}"
                        note(f"{text} ({max_rate} MB/s)")
        measured.manage("verify_feedback")
    for (name, max_rate), values in ratios.items():
        figures = f"{median(values):.2f} of the throughput without ({min(values):.2f} to {max(values):.2f})"
        print(f"{name:<18} --max-rate {max_rate:<6}{figures}    target: at least 0.80")


class Load:
    """Send single events and batches in turns."""

    def __init__(self, measured: Service) -> None:
        self.measured, key = measured, measured.make_key()
        events = measured.write_events(BATCH, "--random-ids")
        self.wrk = Wrk(measured.folder, events, f"http://127.0.0.1:{measured.port}", key)
        self.batch = f"[{','.join(events.read_text().splitlines())}]".encode()
        self.headers = {"Authorization": f"Api-Key {key}", "Content-Type": "application/json"}

    def rates(self) -> dict[str, float]:
        """Return the events/s of each kind."""
        runs = [(self.wrk.post("/ingest", USUAL, SECONDS).rate, self.post_batches()) for _ in range(RUNS)]
        singles, batches = zip(*runs, strict=True)
        return {"single events": mean(singles), f"batches of {BATCH:,}": mean(batches)}

    def post_batches(self) -> float:
        start = time.perf_counter()
        with ThreadPoolExecutor(2) as clients:
            list(clients.map(self.post, range(BATCHES)))
        return BATCH * BATCHES / (time.perf_counter() - start)

    def post(self, _: int) -> None:
        connection = self.measured.connect()
        connection.request("POST", "/ingest", self.batch, self.headers)
        response = connection.getresponse()
        response.read()
        connection.close()
        if response.status != 201:
            raise RuntimeError(f"POST /ingest returned {response.status}")


@contextmanager
def backups(measured: Service, max_rate: str) -> Iterator[None]:
    """Take one backup after the other."""

    def back_up(stop: Event) -> None:
        folder = measured.folder / "backups"
        while not stop.is_set():
            run(measured, "backup", "--to", str(folder), "--max-rate", max_rate)
            shutil.rmtree(folder)

    stop = Event()
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(back_up, stop)
        try:
            yield
        finally:
            stop.set()
            done.result()


if __name__ == "__main__":
    main()
