"""Clients that send sales of all kinds, and remember what the service answered."""

import http.client
import json
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Any
from urllib.parse import urlsplit
from zlib import crc32

CLIENTS = 6
TIMEOUT = 60  # seconds; longer than any limit of the service
CATEGORIES = ("clothing", "shoes", "bags", "high-tech")
COUNTRIES = ("170", "203", "187")
NOTHING_STORED = {f"/docs/problems#{slug}" for slug in ("database-unavailable", "service-busy", "request-in-progress")}


class Outcome(Enum):
    """What a client knows about its request."""

    STORED = "stored"
    NOTHING = "nothing was stored"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Shape:
    """A kind of request. Safe requests are retried until they are stored."""

    size: int
    is_list: bool = True
    by_event_id: bool = False
    by_key: bool = False
    invalid: int = 0  # events that on_error=skip keeps for staff

    @property
    def is_safe(self) -> bool:
        return self.by_event_id or self.by_key


SHAPES = {
    Shape(1, is_list=False): 10,
    Shape(1, is_list=False, by_event_id=True): 10,
    Shape(1, is_list=False, by_key=True): 5,
    Shape(20): 2,
    Shape(20, by_event_id=True): 2,
    Shape(300): 0.3,
    Shape(300, by_key=True): 0.4,
    Shape(300, by_event_id=True): 0.4,
    Shape(30, by_key=True, invalid=3): 1,
    Shape(5_000, by_event_id=True): 0.06,
    Shape(5_000): 0.03,
}


@dataclass
class SentRequest:
    """A request, under a name that begins the order of each of its events."""

    name: str  # the round, the position of the fault in it, and a number: 3-0-17
    shape: Shape
    outcome: Outcome = Outcome.UNKNOWN
    attempts: int = 0

    def orders(self) -> Iterator[str]:
        return (f"{self.name}-{index}" for index in range(self.shape.size))


def figures_of(order: str) -> dict[str, str]:
    """Return the values of an event that the checker expects, which depend on its order only."""
    number = crc32(order.encode())
    return {
        "ID_SELLER_COUNTRY": COUNTRIES[number % 3],
        "ID_BUYER_COUNTRY": COUNTRIES[number // 3 % 3],
        "CATEGORY": CATEGORIES[number // 9 % 4],
        "REVENUE": f"{number % 100_000}.{number % 97:05d}",
    }


def event_of(order: str) -> dict[str, Any]:
    event = {"ID_ORDER": order, "ID_PRODUCT": "1", "ID_BUYER": "2", "ID_SELLER": "3", "BRAND": "Gucci"}
    return event | {"DATE_PAYMENT": paid_at(order)} | figures_of(order)


def paid_at(order: str) -> str:
    """Return the time of payment. Every 20 requests go on to another month, so partitions are made meanwhile.

    Each of the ten faults of a round has two years of its own.
    """
    _, position, number, *_ = order.split("-")
    years, month = divmod(24 * int(position) + min(int(number) // 20, 23), 12)
    return f"{2001 + years}-{month + 1:02}-0{1 + crc32(order.encode()) % 3} 10:00:00"


def body_of(request: SentRequest) -> bytes:
    events: list[dict[str, Any]] = []
    for index, order in enumerate(request.orders()):
        event = event_of(order)
        if request.shape.by_event_id:
            event["EVENT_ID"] = order
        if index < request.shape.invalid:
            event["REVENUE"] = "much"
        events.append(event)
    return json.dumps(events if request.shape.is_list else events[0]).encode()


@dataclass
class Correction:
    """A correction: the order of the wrong sale, and that of its replacement, which is "" to void the sale."""

    order: str
    replacement: str
    outcome: Outcome = Outcome.UNKNOWN
    attempts: int = 0


class Load:
    """Clients that send until they are told to stop."""

    def __init__(self, urls: Sequence[str], name: str, random: Random) -> None:
        self.addresses = [urlsplit(url).netloc for url in urls]
        self.name = name
        self.requests: list[SentRequest] = []
        self.corrections: list[Correction] = []  # see correctors.py
        self.stored_at: list[float] = []  # on the monotonic clock
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self.number = 0
        self._stop, self._give_up, self._lock = threading.Event(), threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(Random(random.random()),)) for _ in range(CLIENTS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()
        self.wait_until_stored(time.monotonic(), 20)

    def stop(self, seconds: float) -> None:
        """Send nothing new, and wait up to `seconds` until every safe request is stored."""
        self._stop.set()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))
        self._give_up.set()
        for thread in self._threads:
            thread.join()
        for request in self.requests:
            if request.shape.is_safe and request.outcome is not Outcome.STORED:
                self.failures.append(f"{request.name} was retried {request.attempts} times in vain")

    def wait_until_stored(self, since: float, number: int = 1, seconds: float = 60) -> float | None:
        """Wait for acknowledgements after `since`. Return the seconds until they came; None if they did not come."""
        while time.monotonic() < since + seconds:
            first = bisect_left(self.stored_at, since)
            if len(self.stored_at) >= first + number:
                return self.stored_at[first] - since
            time.sleep(0.005)
        return None

    def coming_event_ids(self, number: int) -> list[str]:
        """Return EVENT_IDs that the clients will send soon."""
        return [f"{self.name}-{self.number + index}-0" for index in range(1, number + 1)]

    def _run(self, random: Random) -> None:
        shapes, weights = list(SHAPES), list(SHAPES.values())
        while not self._stop.is_set():
            with self._lock:
                self.number += 1
                request = SentRequest(f"{self.name}-{self.number}", random.choices(shapes, weights)[0])
                self.requests.append(request)
            self._send(request, random)
            time.sleep(random.random() / 20)

    def _send(self, request: SentRequest, random: Random) -> None:
        body, possible = body_of(request), set()
        while True:
            request.attempts += 1
            request.outcome = self._post(request, body, random.choice(self.addresses))
            possible.add(request.outcome)
            if request.outcome is Outcome.STORED:
                self.stored_at.append(time.monotonic())
                return
            if Outcome.UNKNOWN in possible:  # an earlier attempt may have stored it
                request.outcome = Outcome.UNKNOWN
            if not request.shape.is_safe or self._give_up.is_set():
                return
            time.sleep(0.05 + random.random() / 10)

    def _post(self, request: SentRequest, body: bytes, address: str) -> Outcome:
        headers = {"Idempotency-Key": request.name} if request.shape.by_key else {}
        query = "?on_error=skip" if request.shape.invalid else ""
        return self.post(request.name, f"http://{address}/ingest{query}", body, headers)[0]

    def post(self, name: str, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[Outcome, bytes]:
        """Send a request. Return its outcome and the content of the response, which is empty if there was none."""
        status, content = send(url, body, headers)
        self.answers[str(status or "none")] += 1
        outcome = outcome_of(status, content)
        if outcome is None:
            self.failures.append(f"HTTP {status} for {name}: {content[:500]!r}")
        return outcome or Outcome.UNKNOWN, content


def send(url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """POST JSON. Return the status, which is 0 if the connection broke, and the content of the response."""
    # A connection for each request, so that one that breaks breaks during a request.
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json", "Connection": "close", **headers})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def outcome_of(status: int, content: bytes) -> Outcome | None:
    """Return what a response says. None is a response that no client may get."""
    if status in {200, 201, 207}:
        return Outcome.STORED
    problem = type_of(content)
    if problem in NOTHING_STORED:
        return Outcome.NOTHING
    return Outcome.UNKNOWN if status == 0 or problem == "/docs/problems#outcome-unknown" else None


def type_of(content: bytes) -> str:
    """Return the type of a problem."""
    return str(json.loads(content).get("type")) if content.startswith(b"{") else ""
