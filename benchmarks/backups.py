"""Measure backups: how long 10,000,000 sales take to back up and restore, and what a backup costs ingest meanwhile.

    .venv/bin/python -m benchmarks.backups [restore|load] [--sales N] [--rounds N]

`restore` backs up a database, removes it, and restores and verifies the backup: the disk (TMPDIR) needs room for two
databases, 8 GB. `load` sends single events and batches of 5,000 with and without a backup, in turns, as long as each
backup takes. It needs `wrk`.
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
from statistics import fmean, median

from benchmarks.batches import BATCH
from benchmarks.service import ROOT, Service, note, service
from benchmarks.singles import USUAL
from benchmarks.wrk import Wrk
from salesengine.embedded import server as embedded

PARTS = ("restore", "load")
SALES = 10_000_000
MONTHS = 12  # of payment
LOAD_RUNS = 12  # of each kind of load, without a backup
SECONDS = 5  # of single events in a run
BATCHES = 8  # in a run, from two clients


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.backups")
    parser.add_argument("part", nargs="?", choices=PARTS)
    parser.add_argument("--sales", type=int, default=SALES, help="before the measurement (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of load (default: %(default)s)")
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, load before: {os.getloadavg()[0]:.2f}")
    if options.part in (None, "restore"):
        measure_restore(options.sales)
    if options.part in (None, "load"):
        measure_load(options.sales, options.rounds)


def measure_restore(sales: int) -> None:
    """Print the time and the memory of backup, verify_backup and restore."""
    with service() as measured:
        backups, restored = str(measured.folder / "backups"), measured.folder / "restored"
        # Less log of changes beside the data than the service keeps, because the disk needs room for two databases.
        embedded.SERVER_OPTIONS |= {"max_wal_size": "1GB"}
        embedded.start(measured.folder)
        fill(measured, sales)
        run(measured, "backup", "--to", backups, "--max-rate", "1024")
        postmaster = measured.postmaster()
        postmaster.send_signal(signal.SIGINT)
        postmaster.wait()
        shutil.rmtree(measured.folder / "postgres")
        run(measured, "verify_backup", backups)
        run(measured, "restore", "--from", backups, "--to", str(restored))
        shutil.rmtree(backups)
        run(measured, "verify_feedback", LOCAL_DIR=str(restored))


def fill(measured: Service, sales: int) -> None:
    """Store demo sales, paid over MONTHS, and print how large the database is."""
    measured.run_python("-m", "benchmarks.spread_sales", str(sales), str(MONTHS))
    with measured.connect_database() as database:
        database.execute("VACUUM (ANALYZE)")
        database.execute("CHECKPOINT")
        rows = database.execute("SELECT count(*), pg_database_size(current_database()) FROM sales").fetchone()
    assert rows
    print(f"{rows[0]:,} sales, {rows[1] / 1e6:,.0f} MB", flush=True)


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


def measure_load(sales: int, rounds: int) -> None:
    """Print the throughput of ingest during backups, as a fraction of that without one."""
    ratios: dict[str, list[float]] = {}
    with service(API_KEY_REQUIRED="true", WEB_CONCURRENCY="2") as measured, measured.serving():
        fill(measured, sales)
        load = Load(measured)
        load.rates()  # warm-up
        for number in range(rounds):
            without = average([load.rates() for _ in range(LOAD_RUNS)])
            during = average(list(rates_during_backup(measured, load)))
            for name, rate in without.items():
                ratios.setdefault(name, []).append(during[name] / rate)
                note(f"round {number + 1}: {name}: {rate:,.0f} events/s, during a backup {during[name]:,.0f}")
        measured.manage("verify_feedback")
    for name, values in ratios.items():
        figures = f"{median(values):.2f} of the throughput without ({min(values):.2f} to {max(values):.2f})"
        print(f"{name:<18}{figures}    target: at least 0.80")


def rates_during_backup(measured: Service, load: "Load") -> Iterator[dict[str, float]]:
    """Take a backup, and yield the rates as long as it takes."""
    folder = measured.folder / "backups"
    with ThreadPoolExecutor(1) as pool:
        backup = pool.submit(run, measured, "backup", "--to", str(folder))
        while not backup.done():
            yield load.rates()
        backup.result()
    shutil.rmtree(folder)


def average(rates: list[dict[str, float]]) -> dict[str, float]:
    return {name: fmean(measured[name] for measured in rates) for name in rates[0]}


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
        singles = self.wrk.post("/ingest", USUAL, SECONDS).rate
        return {"single events": singles, f"batches of {BATCH:,}": self.post_batches()}

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


if __name__ == "__main__":
    main()
