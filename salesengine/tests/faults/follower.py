"""A client that follows the sales through all faults of a round, and must see each one exactly once."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import httpx

from salesengine.tests.faults.database import Postgres
from salesengine.tests.faults.service import Service

ALL_CHANGES = """
    SELECT 'sale', id FROM sales
    UNION ALL SELECT 'sale', id FROM voided_sale
    UNION ALL SELECT 'void', id FROM voided_sale
    """


class Follower:
    """Reads GET /changes, and continues from the last position whatever happened to a request."""

    def __init__(self, service: Service, random: Random) -> None:
        self.service = service
        self.random = random
        self.position = 0
        self.changes: Counter[tuple[str, int]] = Counter()  # by kind and id of the sale
        self.failures: list[str] = []

    @contextmanager
    def following(self) -> Iterator[None]:
        """Read in a thread."""
        stop = threading.Event()

        def run() -> None:
            while not stop.is_set():
                self.read(wait=1)
                stop.wait(0.05)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def read(self, wait: int = 0) -> bool:
        """Read a page. Return whether there may be more."""
        parameters = {"after": self.position, "limit": self.random.choice((1, 100, 1_000, 10_000)), "wait": wait}
        try:
            response = httpx.get(f"{self.service.url}/changes", params=parameters, timeout=60)
            page = response.json()
        except (httpx.TransportError, ValueError):  # the response was cut
            return True
        if response.status_code == 503:
            return True
        if response.status_code != 200:
            self.failures.append(f"GET /changes answers {response.status_code}: {response.text[:300]}")
            return False
        for change in page["results"]:
            if change["position"] != self.position + 1:
                self.failures.append(f"the change after {self.position} has the position {change['position']}")
            self.position = change["position"]
            self.changes[change["kind"], change["ID"]] += 1
        if page["next"] != self.position:
            self.failures.append(f"next is {page['next']} instead of {self.position}")
        return bool(page["has_more"])

    def violations(self, database: Postgres) -> list[str]:
        """Read the rest, and compare it with the sales. Transactions may still end meanwhile, so try repeatedly."""
        for _ in range(10):
            while self.read() and not self.failures:
                pass
            with database.connect() as connection:
                stored = Counter((kind, sale_id) for kind, sale_id in connection.execute(ALL_CHANGES))
            if self.failures or self.changes == stored:
                return self.failures
        missing, surplus = stored - self.changes, self.changes - stored
        return [f"a follower misses {missing.total()} changes and saw {surplus.total()} too often or wrongly"]
