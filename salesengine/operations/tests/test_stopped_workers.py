"""A worker that stops, for example because its machine swaps, is replaced soon, and requests may still take long."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import psutil
import pytest

from salesengine.operations.tests.helpers import Workers, count_clients
from salesengine.tests.servers import new_folder, serve, wait_until

pytestmark = pytest.mark.slow
CLIENTS = 20
REPLACED_WITHIN = 40  # seconds: gunicorn's timeout, twice the second until it looks again, and the start of a worker
SLOW_REPORT = '/*\ntitle = "Slow"\ndescription = "Sleeps."\n*/\nSELECT pg_sleep(12)::text AS nap\n'


def test_a_stopped_worker_holds_its_clients_for_a_few_seconds_only(event):
    with new_folder() as folder, serve(folder) as address:
        workers, end = Workers(address), threading.Event()

        def post_until_the_end(_):
            seconds = []
            with httpx.Client(base_url=address, timeout=120) as http:  # keeps its connection, and so its worker
                while not end.is_set():
                    start = time.monotonic()
                    with suppress(httpx.TransportError):  # the worker was killed
                        http.post("/ingest", json=[event])
                    seconds.append(time.monotonic() - start)
                    time.sleep(0.5)
            return seconds

        with ThreadPoolExecutor(CLIENTS) as clients:
            runs = clients.map(post_until_the_end, range(CLIENTS))
            victim = psutil.Process(min(workers.pids()))
            wait_until(lambda: count_clients(victim.pid) >= CLIENTS // 5)
            victim.send_signal(signal.SIGSTOP)
            deadline = time.monotonic() + 60
            while victim.pid in (pids := workers.pids()) or len(pids) < 2:
                assert time.monotonic() < deadline, "the worker was not replaced"
                time.sleep(0.1)
            end.set()
            longest = max(max(seconds) for seconds in runs)

        assert 10 < longest < REPLACED_WITHIN, "the stopped worker should hold a client, but not for long"


def test_a_report_may_take_longer_than_a_worker_may_be_silent(tmp_path):
    (tmp_path / "slow.sql").write_text(SLOW_REPORT)
    settings = {"SQL_DIR": str(tmp_path), "GUNICORN_CMD_ARGS": "--timeout 5"}  # instead of 15 s
    with new_folder() as folder, serve(folder, **settings) as address:
        response = httpx.get(f"{address}/reports/slow", timeout=60)

    assert (response.status_code, response.elapsed.total_seconds() > 12) == (200, True)
