"""On a cluster, verify_feedback sees the same sales in the ledger and on the workers, while clients send others."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from salesengine.tests.cluster.installations import on_cluster
from salesengine.tests.cluster.scenario import event

pytestmark = pytest.mark.citus
CLIENTS, CHECKS = 4, 8


def test_verify_feedback_agrees_beside_writers():
    ended = threading.Event()

    def send(client: int, url: str) -> int:
        number = 0
        with httpx.Client(base_url=url, timeout=60) as http:
            while not ended.is_set():
                number += 1
                assert http.post("/ingest", json=event(number * CLIENTS + client)).status_code == 201
        return number

    with on_cluster() as cluster:
        for command in (("prepare",), ("distribute", "--shards", "4")):
            assert cluster.manage(*command).endswith("exit code 0\n")
        with cluster.serve() as url, ThreadPoolExecutor(CLIENTS) as pool:
            sent = [pool.submit(send, client, url) for client in range(CLIENTS)]
            try:
                outputs = [cluster.manage("verify_feedback") for _ in range(CHECKS)]
            finally:
                ended.set()
            numbers = [each.result() for each in sent]

    assert [output for output in outputs if not output.endswith("exit code 0\n")] == []
    assert min(numbers) > 50
