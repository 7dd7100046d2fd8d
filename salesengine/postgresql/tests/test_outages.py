"""While PostgreSQL is away, every request is answered at once, and the service is back soon after PostgreSQL is."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import httpx
import pytest

from salesengine.embedded import server as embedded
from salesengine.tests.proxy import production
from salesengine.tests.servers import empty_folder, new_folder, serve

CLIENTS = 100
FIRST_SECONDS = 5  # until every worker has noticed, and has served the requests that queued meanwhile
OUTAGE = 10  # seconds


@contextmanager
def running_database():
    """Run PostgreSQL, and yield its folder."""
    with new_folder() as folder:
        embedded._make_cluster(folder)  # lets another user enter the folder
        embedded._start_server(folder)
        try:
            yield folder
        finally:
            embedded._stop_server(folder)


@contextmanager
def service_on(database):
    """Run the service on this database. Yields its address."""
    url = f"postgres://{embedded.DATABASE}@/{embedded.socket_dir(database)}/{embedded.DATABASE}"
    with empty_folder() as folder, serve(folder, **production(url)) as address:
        yield address


class Clients:
    """Send requests of several kinds at once. Keeps (begin, seconds, path, status) of each response."""

    def __init__(self, address, event):
        self.address, self.event = address, event
        self.responses = []
        self.stop = threading.Event()

    def run(self, number):
        with httpx.Client(base_url=self.address, timeout=60) as http:
            while not self.stop.is_set():
                path = ("/ingest", "/ingest", "/feedback", "/readyz")[number % 4]
                body = [self.event] if number % 8 else self.event
                self.send(path, partial(http.post, path, json=body) if path == "/ingest" else partial(http.get, path))
                time.sleep(1)

    def probe(self):
        """Ask whether the service lives, as the supervisor of a container does: on a new connection each time."""
        while not self.stop.is_set():
            self.send("/healthz", partial(httpx.get, f"{self.address}/healthz", timeout=60))
            time.sleep(0.1)

    def send(self, path, request):
        begin = time.monotonic()
        status = request().status_code
        self.responses.append((begin, time.monotonic() - begin, path, status))


@pytest.mark.slow
def test_every_request_is_answered_at_once_while_postgresql_is_away(event):
    with running_database() as database, service_on(database) as address:
        clients = Clients(address, event)
        with ThreadPoolExecutor(CLIENTS + 1) as pool:
            runs = [pool.submit(clients.run, number) for number in range(CLIENTS)] + [pool.submit(clients.probe)]
            try:
                time.sleep(3)
                embedded._stop_server(database)
                stopped = time.monotonic()
                time.sleep(OUTAGE)
                started = time.monotonic()
                embedded._start_server(database)
                back = time.monotonic()
                time.sleep(9)
            finally:
                clients.stop.set()
            for run in runs:
                run.result()

    during = [row for row in clients.responses if stopped + FIRST_SECONDS < row[0] < started - 1]
    assert {(path, status) for _, _, path, status in during} == {
        *(("/ingest", 503), ("/feedback", 503), ("/readyz", 503), ("/healthz", 200))
    }
    # The pool alone would let each wait for 3 s. A few may wait for the processor.
    assert sorted(seconds for _, seconds, _, _ in during)[len(during) * 9 // 10] < 2.5
    assert {status for begin, _, _, status in clients.responses if begin > back + 6} == {200, 201}
