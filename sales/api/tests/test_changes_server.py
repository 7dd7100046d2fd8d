"""Clients that wait for changes, behind gunicorn."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from salesengine.tests.servers import new_folder, serve, wait_until

ONE_PROCESS = {"WEB_CONCURRENCY": "1", "WEB_THREADS": "8"}  # so two requests may wait


def wait_for_a_change(url):
    started = time.monotonic()
    response = httpx.get(f"{url}/changes", params={"after": "0", "wait": "30"}, timeout=60)
    return response.status_code, len(response.json()["results"]), time.monotonic() - started


def test_waiting_clients_leave_threads_to_others_and_get_the_next_sale(start_server, event):
    url = start_server(**ONE_PROCESS)
    with ThreadPoolExecutor(12) as clients:
        waiting = [clients.submit(wait_for_a_change, url) for _ in range(12)]
        wait_until(lambda: sum(each.done() for each in waiting) >= 10)

        assert httpx.post(f"{url}/ingest", json=event).status_code == 201

        outcomes = [each.result() for each in waiting]
    assert [status for status, *_ in outcomes] == [200] * 12
    assert sum(count for _, count, _ in outcomes) == 2


@pytest.mark.slow
def test_a_stop_of_the_service_ends_the_waiting_with_a_response():
    with new_folder() as folder, ThreadPoolExecutor(1) as clients:
        with serve(folder, **ONE_PROCESS) as url:
            waiting = clients.submit(wait_for_a_change, url)
            time.sleep(1)
            assert not waiting.done()
        status, count, seconds = waiting.result()
    assert (status, count) == (200, 0)
    assert seconds < 25
