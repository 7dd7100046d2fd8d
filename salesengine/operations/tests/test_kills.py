"""Clients that send again until they are answered, while the service's workers are killed: each event is there once."""

import json
import os
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from salesengine.http.problem_types import DATABASE_UNAVAILABLE, INTERNAL_ERROR, REQUEST_IN_PROGRESS
from salesengine.tests.servers import connect_database, manage, new_folder, serve

KILLS = 50
CLIENTS = 12
WORKERS = 2
# (how many events, 0 for one that is in no list; whether with an Idempotency-Key, or an EVENT_ID in each event)
FORMS = [(0, True), (0, False), (20, True), (20, False), (500, True), (500, False)]
SEND_AGAIN = {problem.uri for problem in (REQUEST_IN_PROGRESS, INTERNAL_ERROR, DATABASE_UNAVAILABLE)}


class Workers:
    """The workers of the gunicorn at this address, which this process has started."""

    def __init__(self, address: str) -> None:
        port = urlsplit(address).port
        [self.master] = [each for each in psutil.Process().children() if listens(each, port)]

    def pids(self) -> set[int]:
        """Those that run; not PostgreSQL, nor what is dead already."""
        command = self.master.cmdline()
        return {each.pid for each in self.master.children() if is_running(each, command)}

    def kill_one(self) -> None:
        """Kill any of them, and wait until there is another in its place."""
        victim = random.choice(sorted(self.pids()))
        os.kill(victim, 9)
        deadline = time.monotonic() + 30
        while victim in (pids := self.pids()) or len(pids) < WORKERS:
            assert time.monotonic() < deadline, "a worker was not replaced"
            time.sleep(0.01)


def listens(process: psutil.Process, port: int | None) -> bool:
    return any(each.laddr.port == port for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN)


def is_running(process: psutil.Process, command: list[str]) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.cmdline() == command
    except psutil.NoSuchProcess:
        return False


class Client:
    """Sends requests of all forms, each one until it is answered, as long as it may."""

    def __init__(self, address: str, event: dict, number: int) -> None:
        # No connection is used twice: one that breaks then broke with a request in it.
        limits = httpx.Limits(max_keepalive_connections=0)
        self.http = httpx.Client(base_url=address, timeout=60, limits=limits)
        self.event, self.number = event, number
        self.sent = []  # the ID_ORDER of every event
        self.answers = []  # (headers, body, first answer) of the requests with an Idempotency-Key
        self.answered = 0
        self.broken = 0  # connections that broke with a request in them
        self.lost = 0  # answers to what was done, which came to nobody until the request was sent again

    def run(self, stop):
        while not stop.is_set():
            self.send(*random.choice(FORMS))
        self.http.close()

    def send(self, size, has_key):
        name = f"{self.number}-{self.answered}"
        orders = [f"{name}-{place}" for place in range(size or 1)]
        events = [self.event | {"ID_ORDER": order} | ({} if has_key else {"EVENT_ID": order}) for order in orders]
        body = json.dumps(events if size else events[0])
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": name} if has_key else {})
        answer = self.post_until_answered(headers, body)
        self.sent += orders
        self.answered += 1
        self.lost += answer.status_code == 200 or "Idempotent-Replayed" in answer.headers
        if has_key:
            self.answers.append((headers, body, answer))

    def post_until_answered(self, headers, body):
        while True:
            try:
                answer = self.http.post("/ingest", content=body, headers=headers)
                if answer.status_code in {200, 201}:
                    return answer
                assert answer.json()["type"] in SEND_AGAIN, answer.text
            except httpx.TransportError:
                self.broken += 1
            time.sleep(random.random() / 50)


@pytest.fixture
def folder():
    with new_folder() as folder:
        yield folder


@pytest.fixture
def service(folder):
    with serve(folder, WEB_CONCURRENCY=str(WORKERS)) as address:
        yield address


@pytest.mark.slow
def test_clients_that_send_again_through_fifty_kills_of_workers_have_every_event_stored_once(service, folder, event):
    workers, stop = Workers(service), threading.Event()
    clients = [Client(service, event, number) for number in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        runs = [pool.submit(client.run, stop) for client in clients]
        try:
            for _ in range(KILLS):
                wait_for_answers(clients)
                workers.kill_one()
        finally:
            stop.set()
        for run in runs:
            run.result()

    assert sum(client.broken for client in clients) >= KILLS, "kills hit requests in flight"
    assert sum(client.lost for client in clients) > 0, "some of them after the commit, before the answer"
    assert stored_orders(folder) == Counter(order for client in clients for order in client.sent)
    manage(folder, "verify_feedback")
    with httpx.Client(base_url=service, timeout=60) as http:
        for headers, body, first in (answer for client in clients for answer in client.answers):
            again = http.post("/ingest", content=body, headers=headers)
            assert (again.status_code, again.content) == (first.status_code, first.content)
            assert again.headers["Idempotent-Replayed"] == "true"


def wait_for_answers(clients):
    """Until the clients have got some more answers, so that the next kill hits workers at work."""
    enough = sum(client.answered for client in clients) + random.randrange(10, 60)
    deadline = time.monotonic() + 60
    while sum(client.answered for client in clients) < enough:
        assert time.monotonic() < deadline, "no answers"
        time.sleep(0.001)


def stored_orders(folder):
    with connect_database(folder) as connection:
        return Counter(dict(connection.execute("SELECT id_order, count(*) FROM sales GROUP BY id_order").fetchall()))
