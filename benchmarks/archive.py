"""Measure how long the exchange of an archived month takes, and how long it holds up clients that send sales.

    .venv/bin/python -m benchmarks.archive [--sales N] [--clients N]

The month has N sales. While it is archived, clients send single sales of another month. The exchange is the time for
which the archive locks all of `sales`. The requests of the whole archive stand beside those of as many seconds after
it, because the machine has other pauses too.
"""

import json
import os
import tempfile
import threading
import time
from argparse import ArgumentParser
from collections.abc import Callable
from statistics import median

import psycopg

from benchmarks.service import Service, note, service

MONTH, NEXT_MONTH = "2021-01", "2021-02"
IDS = ("ID_ORDER", "ID_PRODUCT", "ID_BUYER", "ID_SELLER", "ID_SELLER_COUNTRY", "ID_BUYER_COUNTRY")
SALE = dict.fromkeys(IDS, "1") | {"CATEGORY": "bags", "REVENUE": 12.5}
FILL = """
    INSERT INTO sales (id_order, id_product, id_buyer, id_seller, id_seller_country, id_buyer_country, date_payment,
        brand, category, revenue)
    SELECT md5('order' || number), md5('product' || number %% 100000), md5('buyer' || number %% 60000),
        md5('seller' || number %% 50000), (number %% 97)::text, (number %% 60)::text,
        '2021-01-01T00:00Z'::timestamptz + random() * interval '31 days', 'brand ' || number %% 800, 'bags',
        (number %% 10000) / 100.0
    FROM generate_series(1, %s) AS number
    """
EXCHANGE_LOCK = """
    SELECT EXISTS (
        SELECT FROM pg_locks WHERE relation = 'sales'::regclass AND mode = 'AccessExclusiveLock' AND granted
    )
    """


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.archive")
    parser.add_argument("--sales", type=int, default=1_000_000)
    parser.add_argument("--clients", type=int, default=4)
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, load before: {os.getloadavg()[0]:.2f}")
    with service() as measured, measured.serving(), measured.connect_database() as database:
        send(measured, MONTH)
        while not database.execute("SELECT to_regclass('sales_2021_01')").fetchone()[0]:  # type: ignore[index]
            time.sleep(0.1)
        database.execute(FILL, [options.sales])
        database.execute("VACUUM ANALYZE sales")
        note(f"filled {MONTH} with {options.sales:,} sales")
        seconds, locked, during = archive(measured, database, options.clients)
        after = requests_of(measured, options.clients, lambda: time.sleep(seconds))
    print(f"archive of {options.sales:,} sales    {seconds:8.1f} s")
    print(f"exchange                    {locked * 1000:8.0f} ms")
    for name, times in (("while it was archived", during), ("as long afterwards", after)):
        print(f"{name:<24} {len(times):8,} requests, median {median(times) * 1000:.1f} ms, longest {max(times):.3f} s")
    print("target: the exchange takes less than a second")


def archive(measured: Service, database: psycopg.Connection, clients: int) -> tuple[float, float, list[float]]:
    """Return the seconds of the whole archive, those of its lock, and those of each request meanwhile."""
    locked, ended = 0.0, threading.Event()

    def watch() -> None:
        nonlocal locked
        last = time.perf_counter()
        while not ended.is_set():
            is_locked = database.execute(EXCHANGE_LOCK).fetchone()[0]  # type: ignore[index]
            now = time.perf_counter()
            locked += (now - last) if is_locked else 0
            last = now
            time.sleep(0.002)

    def work() -> None:
        watcher = threading.Thread(target=watch)
        watcher.start()
        with tempfile.TemporaryDirectory() as folder:
            measured.manage("archive_sales", "--before", NEXT_MONTH, "--to", folder)
        ended.set()
        watcher.join()

    start = time.perf_counter()
    times = requests_of(measured, clients, work)
    return time.perf_counter() - start, locked, times


def requests_of(measured: Service, clients: int, work: Callable[[], object]) -> list[float]:
    """Let clients send sales while `work` runs. Return the seconds of each request."""
    times: list[float] = []
    ended = threading.Event()

    def client() -> None:
        while not ended.is_set():
            times.append(send(measured, NEXT_MONTH))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    work()
    ended.set()
    for thread in threads:
        thread.join()
    return times


def send(measured: Service, month: str) -> float:
    """Send a sale, and return the seconds that this takes."""
    body = json.dumps(SALE | {"DATE_PAYMENT": f"{month}-07"})
    connection = measured.connect()
    start = time.perf_counter()
    connection.request("POST", "/ingest", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    response.read()
    connection.close()
    if response.status != 201:
        raise RuntimeError(f"POST /ingest returned {response.status}")
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
