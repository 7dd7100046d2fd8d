"""The threads of a worker stay on one processor, except during large requests, if every processor has a worker."""

import os
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from salesengine.server.processors import Processors

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells threads where to run")


@pytest.fixture
def processors():
    """Yield the processors that this process may use. The test may change where its thread runs."""
    usable = os.sched_getaffinity(0)
    yield usable
    os.sched_setaffinity(0, usable)


def test_workers_share_the_processors_evenly(processors):
    workers = 2 * len(processors)
    own = [Processors(place, workers).own for place in range(workers)]

    assert sorted(processor for [processor] in own) == sorted([*processors, *processors])


def test_with_fewer_workers_than_processors_each_may_use_all(processors, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 8})

    assert [Processors(place, workers=2).own for place in range(2)] == [{3, 5, 8}] * 2


def test_a_thread_may_use_every_processor_during_a_large_request_only(processors):
    worker = Processors(place=0, workers=len(processors))
    worker.stay()
    with suppress(ConnectionError), worker.any():
        assert os.sched_getaffinity(0) == processors
        raise ConnectionError

    assert os.sched_getaffinity(0) == worker.own


@pytest.mark.slow
def test_all_threads_of_a_worker_stay_on_its_processor(start_server, event, processors):
    two = sorted(processors)[:2]  # a worker for each of 64 processors would take long to start
    os.sched_setaffinity(0, two)
    url = start_server(WEB_CONCURRENCY=str(len(two)))
    for _ in range(10):
        httpx.post(f"{url}/ingest", json=event).raise_for_status()

    port = httpx.URL(url).port
    [master] = [process for process in psutil.Process().children() if is_listening(process, port)]
    workers = [threads_run_on(worker) for worker in master.children() if is_listening(worker, port)]

    assert sorted(workers) == [[processor] for processor in two]


def is_listening(process, port):
    return any(
        connection.laddr.port == port for connection in process.net_connections("tcp") if connection.status == "LISTEN"
    )


def threads_run_on(process):
    """Return the processors that the threads of a process may use."""
    threads = [int(folder.name) for folder in Path(f"/proc/{process.pid}/task").iterdir()]
    return sorted(set().union(*map(os.sched_getaffinity, threads)))
