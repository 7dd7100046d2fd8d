"""Send random requests and damaged bytes to a running service, as every kind of caller.

Fail on a 5xx, a traceback, a slow response, a hanging connection, a worker that ends, or workers whose memory grows.

    python -m salesengine.tests.fuzz --requests 100000 --seed 1
    python -m salesengine.tests.fuzz --only 4711

A request depends only on the seed and its number, so a failure can be repeated with --only.
"""

import argparse
import http.client
import json
import math
import os
import re
import socket
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import psutil

from salesengine.operations.tests.helpers import Workers
from salesengine.tests.fuzz_raw import UNFINISHED, damaged
from salesengine.tests.servers import manage, new_folder, serve

if TYPE_CHECKING:  # they need Django's settings
    from salesengine.tests.fuzz_callers import Service
    from salesengine.tests.fuzz_requests import RequestMaker

HANGING = 40  # seconds; the server waits 30 s for the rest of a request
CLIENTS = 6
STALLED = 4  # clients that send unfinished requests beside the others
WARM_UP = 0.6  # the part of the requests after which the memory of the workers should be level
GROWTH = 1.2  # how many times as much they may then have at the end
LEVEL = 10_000  # requests; after fewer, the memory still grows
# The part of the requests that are damaged. The server works four times as long on each of the others, and CI has time
# for 100,000 only if these are few.
RAW = 0.8
TRIES = 5  # of a slow request, because the machine may have been busy with others
BUSY = 503  # such as while REPORTS_AT_ONCE reports run
NOT_IMPLEMENTED = 501  # gunicorn's response to an unknown transfer encoding


class TooSlowError(Exception):
    """The response to a request took longer than it may."""


class Fuzzer:
    """Send numbered requests, and note every failure."""

    def __init__(self, service: "Service", maker: "RequestMaker", seed: str, slowest: float) -> None:
        self.service, self.maker, self.seed, self.slowest = service, maker, seed, slowest
        self.failures: list[str] = []
        self.slow: list[int] = []
        self.statuses: Counter[int] = Counter()
        self.deadline = math.inf
        self.connections = threading.local()

    def connection(self) -> http.client.HTTPConnection:
        if not hasattr(self.connections, "own"):
            self.connections.own = http.client.HTTPConnection(self.service.address, timeout=HANGING)
        return self.connections.own

    def request(self, number: int) -> None:
        if time.monotonic() > self.deadline:
            return
        try:
            self.send(number)
        except TooSlowError:
            self.slow.append(number)

    def repeat_slow_requests(self) -> None:
        """Send each slow request again, alone, until its response is quick once. Note those that never are."""
        for number in self.slow:
            for _ in range(TRIES):
                with suppress(TooSlowError):
                    self.send(number)
                    break
            else:
                request = self.maker.request(Random(f"{self.seed} {number}"))
                self.failures.append(f"{number}: slower than {self.slowest:g} s, or 503, also alone: {request}")

    def send(self, number: int) -> None:
        """Send a request, and note if the response is a failure. Raises TooSlowError, also if the service is busy."""
        random = Random(f"{self.seed} {number}")
        request = self.maker.request(random)
        start = time.monotonic()
        try:
            if random.random() < RAW:
                request = damaged(random, request, self.service.headers(request))
                status, is_download = self.send_raw(request), False
            else:
                response, _ = self.service.send(self.connection(), request)
                status, is_download = response.status, "Content-Disposition" in response.headers
        except (OSError, http.client.HTTPException) as error:
            self.connection().close()
            self.failures.append(f"{number}: {type(error).__name__}: {error}: {request}")
            return
        self.statuses[status] += 1
        if status == BUSY:
            raise TooSlowError
        if status >= 500 and status != NOT_IMPLEMENTED:
            self.failures.append(f"{number}: {status}: {request}")
        elif time.monotonic() - start > self.slowest and not is_download:
            raise TooSlowError

    def send_raw(self, data: bytes, *, is_whole: bool = True) -> int:
        """Send bytes, and read until the server closes the connection, or once. Return the status, 0 without any."""
        host, port = self.service.address.split(":")
        response = b""
        with socket.create_connection((host, int(port)), timeout=HANGING) as connection, suppress(ConnectionError):
            connection.sendall(data)
            if is_whole:
                connection.shutdown(socket.SHUT_WR)
            response = connection.recv(65_536)
            while is_whole and connection.recv(65_536):
                pass
        status = re.match(rb"HTTP/1\.[01] (\d{3})", response)
        return int(status[1]) if status else 0

    def stall(self, data: bytes) -> None:
        """Send a request that does not end. The server must respond or close the connection."""
        try:
            self.statuses[self.send_raw(data, is_whole=False)] += 1
        except TimeoutError:
            self.failures.append(f"a connection hangs after {data[:200]!r}")


def crawl(service: "Service", start: tuple[str, ...], limit: int = 400) -> dict:
    """Read pages as a superuser, starting from these, and return each one's links and fields by its URL."""
    from salesengine.tests.fuzz_callers import SUPERUSER
    from salesengine.tests.fuzz_requests import FuzzRequest, own_links, read_page

    connection = http.client.HTTPConnection(service.address, timeout=HANGING)
    pages: dict = {}
    shapes: Counter[str] = Counter()
    queue = list(start)
    for url in queue:
        shape = re.sub(r"[0-9]+", "0", re.sub(r"=[^&]*", "=", url))
        shapes[shape] += 1
        if url in pages or shapes[shape] > 3 or len(pages) >= limit or "logout" in url:
            continue
        response, body = service.send(connection, FuzzRequest("GET", url, {}, b"", SUPERUSER))
        is_html = response.headers.get("Content-Type", "").startswith("text/html")
        pages[url] = read_page(body.decode() if is_html else "")
        queue += sorted(own_links(url, pages[url]))
    return pages


def fuzz(folder: Path, options: argparse.Namespace) -> list[str]:
    """Run the requests against a new service with demo data, and return the failures."""
    import django

    with serve(folder, API_KEY_REQUIRED="true", REPORTS_AT_ONCE=str(CLIENTS)) as url:
        django.setup()
        from salesengine.tests.fuzz_callers import SUPERUSER, Service
        from salesengine.tests.fuzz_requests import FuzzRequest, RequestMaker

        service, workers = Service(url), Workers(url)
        openapi = FuzzRequest("GET", "/openapi.json", {}, b"", SUPERUSER)
        document = json.loads(service.send(http.client.HTTPConnection(service.address), openapi)[1])
        maker = RequestMaker(crawl(service, ("/admin/", "/docs/problems")), document)
        sys.stdout.write(f"{len(maker.urls)} pages, {len(maker.patterns)} patterns, {len(maker.names)} parameters\n")
        fuzzer = Fuzzer(service, maker, options.seed, options.slowest)
        start = time.monotonic()
        fuzzer.deadline = start + options.seconds
        numbers = options.only or range(1, options.requests + 1)
        with ThreadPoolExecutor(STALLED) as stalled, ThreadPoolExecutor(CLIENTS) as clients:
            stalled.map(fuzzer.stall, [] if options.only else UNFINISHED)
            warm_up = int(len(numbers) * WARM_UP)
            list(clients.map(fuzzer.request, numbers[:warm_up]))
            before = memory(workers)
            list(clients.map(fuzzer.request, numbers[warm_up:]))
        fuzzer.repeat_slow_requests()
        after, seconds = memory(workers), time.monotonic() - start
    sent = fuzzer.statuses.total()
    statuses = dict(sorted(fuzzer.statuses.items()))  # 0 is a connection that was closed without a response
    sys.stdout.write(f"{sent:,} of {len(numbers):,} requests in {seconds:.0f} s: {statuses}\n")
    sys.stdout.write(f"memory of each worker in MB: {before} after the warm-up, {after} at the end\n")
    if before.keys() != after.keys():
        fuzzer.failures.append("a worker ended")
    elif len(numbers) >= LEVEL and sum(after.values()) > GROWTH * sum(before.values()):
        fuzzer.failures.append("the memory of the workers grows")
    return [*fuzzer.failures, *tracebacks((folder / "log").read_text())]


def memory(workers: Workers) -> dict[int, int]:
    """Return the resident memory of each worker in megabytes, by the id of the process."""
    return {pid: psutil.Process(pid).memory_info().rss // 1_000_000 for pid in sorted(workers.pids())}


def tracebacks(log: str) -> list[str]:
    """Return each kind of traceback in a log once: how often, the message with the request id, and the traceback."""
    found = re.findall(r"^(.*)\n(Traceback .*\n(?:\s.*\n)*)(\S.*)", log, re.MULTILINE)
    # gunicorn logs the end of its patience with an incomplete request in this way.
    found = [parts for parts in found if "Socket error processing request" not in parts[0]]
    kinds = {f"{stack.splitlines()[-2:]}": (message, stack, error) for message, stack, error in found}
    counts = Counter(f"{stack.splitlines()[-2:]}" for _, stack, _ in found)
    return [f"{counts[kind]} times: {message}\n{stack}{error}" for kind, (message, stack, error) in kinds.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_000, metavar="N")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--slowest", type=float, default=2, metavar="SECONDS", help="downloads may take longer")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after this time (default: no limit)")
    parser.add_argument(
        "--only", type=int, nargs="+", metavar="NUMBER", help="send only the requests with these numbers"
    )
    options = parser.parse_args()
    with new_folder() as folder:
        os.environ |= {
            "LOCAL_DIR": str(folder),
            "ENV_FILE": os.devnull,
            "DJANGO_SETTINGS_MODULE": "salesengine.settings",
        }
        manage(folder, "load_demo", "--sales", "3000")
        failures = fuzz(folder, options)
    if failures:
        sys.exit("\n".join([*failures, f"{len(failures)} failures"]))


if __name__ == "__main__":
    main()
