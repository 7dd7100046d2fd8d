"""What a fault can break in a round, and the registry of the faults."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from salesengine.tests.faults.database import Postgres
from salesengine.tests.faults.load import Load
from salesengine.tests.faults.service import Service
from salesengine.tests.proxy import Proxy


@dataclass
class Lane:
    """A database, a service on it, a proxy between them, and clients."""

    folder: Path
    database: Postgres
    proxy: Proxy
    service: Service
    load: Load
    random: Random

    def hold(self) -> None:
        """Let the fault last, longer than LOCK_TIMEOUT."""
        time.sleep(1.2 + 1.3 * self.random.random())


Injection = Callable[[Lane], None]
INJECTIONS: dict[str, Injection] = {}
LOSSLESS: set[str] = set()  # during these, every request must be stored at the first attempt
RARE: set[str] = set()  # these take half a minute
# Seconds from the end of these to the next acknowledged sale, as docs/reliability.md promises.
PROMISED: dict[str, float] = {}
NEEDS_COMPILER: set[str] = set()
NEEDS_DISK: set[str] = set()  # these fill the disk of PostgreSQL, so it must be one of its own


def injection(inject: Injection) -> Injection:
    """Register a fault under the name of its function. The fault is over when the function returns."""
    INJECTIONS[inject.__name__] = inject
    return inject


def lossless(inject: Injection) -> Injection:
    LOSSLESS.add(inject.__name__)
    return inject


def back_within(seconds: float) -> Callable[[Injection], Injection]:
    """Promise another time than that of most faults from their end to the next acknowledged sale."""

    def promise(inject: Injection) -> Injection:
        PROMISED[inject.__name__] = seconds
        return inject

    return promise


def rare(inject: Injection) -> Injection:
    RARE.add(inject.__name__)
    return inject


def needs_compiler(inject: Injection) -> Injection:
    NEEDS_COMPILER.add(inject.__name__)
    return inject


def needs_disk(inject: Injection) -> Injection:
    NEEDS_DISK.add(inject.__name__)
    return inject
