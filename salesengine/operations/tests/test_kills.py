"""Clients that retry while workers of the service are killed have every event stored exactly once."""

import json
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from salesengine.http.problem_types import DATABASE_UNAVAILABLE, INTERNAL_ERROR, OUTCOME_UNKNOWN, REQUEST_IN_PROGRESS
from salesengine.operations.tests.helpers import WORKERS, Workers
from salesengine.tests.servers import connect_database, manage, serve

KILLS = 50
CLIENTS = 12
REPEATED = 150  # requests, chosen at random, that are sent again at the end
# (number of events, where 0 is a single event outside a list; True for an Idempotency-Key, False for EVENT_IDs)
REQUEST_KINDS = [(0, True), (0, False), (20, True), (20, False), (500, True), (500, False)]
# After an unknown outcome too, a retry is safe, because every event has an EVENT_ID or its request a key.
RETRYABLE = {problem.uri for problem in (REQUEST_IN_PROGRESS, INTERNAL_ERROR, DATABASE_UNAVAILABLE, OUTCOME_UNKNOWN)}


class Client:
    """Send requests of all kinds until told to stop, and retry each one until it succeeds."""

    def __init__(self, url: str, event: dict, number: int) -> None:
        # Without keep-alive, so that a connection that breaks always breaks during a request.
        limits = httpx.Limits(max_keepalive_connections=0)
        self.http = httpx.Client(base_url=url, timeout=60, limits=limits)
        self.event, self.number = event, number
        self.sent = []  # the ID_ORDER of every event
        self.responses = []  # (headers, body, response) of each request with an Idempotency-Key
        self.completed = 0
        self.broken = 0  # connections that broke during a request
        self.lost = 0  # responses that were lost after the commit, until the client retried

    def run(self, stop):
        while not stop.is_set():
            self.send(*random.choice(REQUEST_KINDS))
        self.http.close()

    def send(self, size, has_key):
        name = f"{self.number}-{self.completed}"
        orders = [f"{name}-{index}" for index in range(size or 1)]
        events = [self.event | {"ID_ORDER": order} | ({} if has_key else {"EVENT_ID": order}) for order in orders]
        body = json.dumps(events if size else events[0])
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": name} if has_key else {})
        response = self.post_with_retries(headers, body)
        self.sent += orders
        self.completed += 1
        self.lost += response.status_code == 200 or "Idempotent-Replayed" in response.headers
        if has_key:
            self.responses.append((headers, body, response))

    def post_with_retries(self, headers, body):
        while True:
            try:
                response = self.http.post("/ingest", content=body, headers=headers)
                if response.status_code in {200, 201}:
                    return response
                assert response.json()["type"] in RETRYABLE, response.text
            except httpx.TransportError:
                self.broken += 1
            time.sleep(random.random() / 50)


@pytest.fixture
def service(folder):
    with serve(folder, WEB_CONCURRENCY=str(WORKERS)) as url:
        yield url


@pytest.mark.slow
def test_clients_that_retry_through_fifty_kills_of_workers_have_every_event_stored_once(service, folder, event):
    workers, stop = Workers(service), threading.Event()
    clients = [Client(service, event, number) for number in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        runs = [pool.submit(client.run, stop) for client in clients]
        try:
            for _ in range(KILLS):
                wait_for_responses(clients)
                workers.kill_one()
        finally:
            stop.set()
        for run in runs:
            run.result()

    assert sum(client.broken for client in clients) >= KILLS, "kills should interrupt requests"
    assert sum(client.lost for client in clients) > 0, (
        "some kills should happen after the commit and before the response"
    )
    assert stored_orders(folder) == Counter(order for client in clients for order in client.sent)
    manage(folder, "verify_feedback")
    with httpx.Client(base_url=service, timeout=60) as http:
        responses = [response for client in clients for response in client.responses]
        for headers, body, first in random.sample(responses, min(REPEATED, len(responses))):
            second = http.post("/ingest", content=body, headers=headers)
            assert (second.status_code, second.content) == (first.status_code, first.content)
            assert second.headers["Idempotent-Replayed"] == "true"


def wait_for_responses(clients):
    """Wait until the clients have completed some more requests, so that the next kill hits busy workers."""
    goal = sum(client.completed for client in clients) + random.randrange(5, 30)
    deadline = time.monotonic() + 60
    while sum(client.completed for client in clients) < goal:
        assert time.monotonic() < deadline, "no responses"
        time.sleep(0.001)


def stored_orders(folder):
    """Return how often each ID_ORDER is stored."""
    with connect_database(folder) as connection:
        return Counter(dict(connection.execute("SELECT id_order, count(*) FROM sales GROUP BY id_order").fetchall()))
