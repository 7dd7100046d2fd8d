"""Measure what other clients do to single events and to /healthz: 80 slow reports, and clients that stall.

    .venv/bin/python -m benchmarks.bulkheads [--rounds N] [--at-once N]

The cases take turns with a service that has nothing else to do. The results are the medians of the rounds' medians, and
the longest request of all rounds. Each report computes for seconds; a client whose report is refused tries it again
after Retry-After.
"""

import http.client
import json
import os
import socket
import time
from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from statistics import median
from threading import Event

from benchmarks.service import Service, note, service

SECONDS = 8  # of each case
REPORT_CLIENTS = 80
SLOW_REPORT = """/*
title = "Slow"
description = "Computes for seconds."
*/
SELECT count(*) AS n FROM generate_series(1, 10000) AS a, generate_series(1, 10000) AS b WHERE a + b < 0
"""
LARGE_FILE = b"/static/drf_spectacular_sidecar/redoc/bundles/redoc.standalone.js"  # a megabyte
GET = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
POST = b"POST /ingest HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
# The number of clients, what each sends, and what it then sends each second.
STALLED = {
    "1,000 idle connections": (1_000, b"", b""),
    "100 slow headers": (100, GET + b"Accept: ", b"a"),
    "100 slow bodies": (100, POST + b"Content-Length: 100000\r\n\r\n[", b" "),
    "40 stalled readers": (40, b"GET " + LARGE_FILE + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b""),
    "100 that never close": (100, GET + b"Connection: close\r\n\r\n", b""),
}
Times = dict[tuple[str, str], list[float]]  # seconds, by case and request


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.bulkheads")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--at-once", default="2", help="REPORTS_AT_ONCE (default: %(default)s)")
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, load before: {os.getloadavg()[0]:.2f}")
    medians: Times = defaultdict(list)
    longest: Times = defaultdict(list)
    with service(REPORTS_AT_ONCE=options.at_once, LOG_LEVEL="ERROR") as measured:
        folder = measured.folder / "reports"
        folder.mkdir()
        (folder / "slow.sql").write_text(SLOW_REPORT)
        measured.environment["SQL_DIR"] = str(folder)
        event = measured.write_events(1)
        with measured.serving():
            list(requests(measured, event))  # warm-up
            for _ in range(options.rounds):
                for case, crowd in crowds(measured):
                    with crowd:
                        time.sleep(1)
                        for path, seconds in requests(measured, event):
                            medians[case, path].append(median(seconds))
                            longest[case, path].append(max(seconds))
                            note(f"{case}: {path} {median(seconds) * 1000:.1f} ms")
    report(medians, longest)


def crowds(measured: Service) -> Iterator[tuple[str, AbstractContextManager[None]]]:
    """Yield the name of each case, and a context in which its clients are at work."""
    yield "nothing else", nullcontext()
    for name, behaviour in STALLED.items():
        yield name, at_work(partial(stall, measured, *behaviour))
    yield f"{REPORT_CLIENTS} slow reports", at_work(partial(run_reports, measured))


@contextmanager
def at_work(work: Callable[[Event], None]) -> Iterator[None]:
    stop = Event()
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work, stop)
        try:
            yield
        finally:
            stop.set()
            done.result()


def stall(measured: Service, number: int, sent: bytes, drop: bytes, stop: Event) -> None:
    with ExitStack() as stack:
        clients = []
        for _ in range(number):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.connect(("127.0.0.1", measured.port))
            client.sendall(sent)
            clients.append(client)
        while not stop.wait(1):
            for client in clients:
                with suppress(OSError):  # the service has ended the connection
                    client.send(drop)


def run_reports(measured: Service, stop: Event) -> None:
    def client(_: int) -> None:
        while not stop.is_set():
            connection = measured.connect()
            connection.request("GET", "/reports/slow")
            with suppress(http.client.HTTPException, OSError):
                wait = connection.getresponse().getheader("Retry-After")
                stop.wait(float(wait or 0))
            connection.close()

    with ThreadPoolExecutor(REPORT_CLIENTS) as pool:
        list(pool.map(client, range(REPORT_CLIENTS)))


def requests(measured: Service, event: Path) -> Iterator[tuple[str, list[float]]]:
    """Send both kinds of requests in turns, each on a new connection. Yield the seconds that they took."""
    body = json.dumps(json.loads(event.read_text()))
    times: dict[str, list[float]] = {"POST /ingest": [], "GET /healthz": []}
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for request, seconds in times.items():
            method, path = request.split()
            start = time.perf_counter()
            connection = measured.connect()
            connection.request(method, path, body if method == "POST" else None, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            connection.close()
            seconds.append(time.perf_counter() - start)
            if response.status not in {200, 201}:
                raise RuntimeError(f"{request} returned {response.status}")
    yield from times.items()


def report(medians: Times, longest: Times) -> None:
    for (case, request), seconds in medians.items():
        ratio = median(seconds) / median(medians["nothing else", request])
        figures = f"median {median(seconds) * 1000:>7.1f} ms   ratio {ratio:>5.2f}"
        print(f"{case:<24}{request:<14}{figures}   longest {max(longest[case, request]) * 1000:>7.0f} ms")
    print("targets: each request under 1 second; median of POST /ingest with reports at most 2.00 times as long")


if __name__ == "__main__":
    main()
