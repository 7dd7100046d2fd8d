"""Clients that void and replace sales, and remember what the service answered."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from salesengine.tests.faults.lane import Lane
from salesengine.tests.faults.load import Correction, Outcome, event_of, outcome_of, send, type_of

CLIENTS = 4
PATIENCE = 60  # seconds


class Correctors:
    """Clients that correct stored sales until they are told to stop. Each of them has its own sales.

    They retry each correction with its Idempotency-Key until it is made.
    """

    def __init__(self, lane: Lane) -> None:
        self.load, self.url = lane.load, f"{lane.service.url}/corrections"
        self.made = 0
        self._taken: set[str] = set()
        self._stop, self._give_up, self._lock = threading.Event(), threading.Event(), threading.Lock()
        randoms = [Random(lane.random.random()) for _ in range(CLIENTS)]
        self._threads = [threading.Thread(target=self._run, args=(random,)) for random in randoms]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begin nothing new, and wait until every correction is made."""
        self._stop.set()
        deadline = time.monotonic() + PATIENCE
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))
        self._give_up.set()
        for thread in self._threads:
            thread.join()
        for correction in self.load.corrections:
            if correction.outcome is not Outcome.STORED:
                self.load.failures.append(f"{correction} was not made")

    def wait(self, number: int) -> None:
        """Wait until some more corrections are made."""
        goal, deadline = self.made + number, time.monotonic() + PATIENCE
        while self.made < goal and time.monotonic() < deadline and not self.load.failures:
            time.sleep(0.005)

    def _run(self, random: Random) -> None:
        while not self._stop.is_set():
            if order := self._take_sale(random):
                self._correct(order, random)
            else:
                time.sleep(0.01)

    def _take_sale(self, random: Random) -> str | None:
        """Return the order of a stored sale, which is its EVENT_ID too, if no other client has it."""
        requests = list(self.load.requests)
        stored = [each for each in requests if each.shape.by_event_id and each.outcome is Outcome.STORED]
        if not stored:
            return None
        order = random.choice(list(random.choice(stored).orders()))
        with self._lock:
            is_free = order not in self._taken
            self._taken.add(order)
        return order if is_free else None

    def _correct(self, event_id: str, random: Random) -> None:
        """Void a sale, or replace it, and perhaps void or replace the replacement."""
        order, sale_id = event_id, 0
        for number in range(1, 4):
            is_void = random.random() < 0.4
            correction = Correction(order, "" if is_void else f"{event_id}-r{number}")
            self.load.corrections.append(correction)
            which = {"ID": sale_id} if sale_id and random.random() < 0.5 else {"EVENT_ID": event_id}
            response = self._post(correction, which, random)
            if response is None:
                return
            if is_void:
                self._void_again(event_id, random)
                return
            order, sale_id = correction.replacement, response["sale"]["ID"]

    def _post(self, correction: Correction, which: dict[str, Any], random: Random) -> dict[str, Any] | None:
        """Send a correction until it is made. Return the response, or None if it was given up."""
        body = {**which, "action": "void", "reason": "fault"}
        if correction.replacement:
            body |= {"action": "replace", "sale": event_of(correction.replacement)}
        name, possible = f"correct {correction.order}", set()
        while True:
            correction.attempts += 1
            outcome, content = self.load.post(
                name, self.url, json.dumps(body).encode(), {"Idempotency-Key": f'"{name}"'}
            )
            possible.add(outcome)
            # Unless it is made, an attempt whose outcome is unknown may have made it.
            correction.outcome = Outcome.UNKNOWN if Outcome.UNKNOWN in possible else outcome
            if outcome is Outcome.STORED:
                correction.outcome = outcome
                self.made += 1
                response: dict[str, Any] = json.loads(content)
                return response
            if self._give_up.is_set() or self.load.failures:
                return None
            time.sleep(0.05 + random.random() / 10)

    def _void_again(self, event_id: str, random: Random) -> None:
        """Void a voided sale with another key, until the service refuses that."""
        body = json.dumps({"EVENT_ID": event_id, "action": "void", "reason": "again"}).encode()
        while not self._give_up.is_set():
            status, content = send(self.url, body, {"Idempotency-Key": f"again-{event_id}"})
            if status == 409 and type_of(content) == "/docs/problems#already-corrected":
                return
            if outcome_of(status, content) not in {Outcome.NOTHING, Outcome.UNKNOWN}:
                self.load.failures.append(f"HTTP {status} for a second void of {event_id}: {content[:500]!r}")
                return
            time.sleep(0.05 + random.random() / 10)


@contextmanager
def correcting(lane: Lane) -> Iterator[Correctors]:
    """Let clients correct sales. At the end, wait until every correction is made."""
    correctors = Correctors(lane)
    correctors.start()
    try:
        yield correctors
    finally:
        correctors.stop()
