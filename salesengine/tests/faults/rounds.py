"""A round: a new database and service, some faults in turn, and the checks after each one."""

import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from salesengine.tests.faults import (  # noqa: F401  # each module registers its faults
    kinds_corrections,
    kinds_database,
    kinds_deployments,
    kinds_network,
    kinds_operations,
    kinds_processes,
)
from salesengine.tests.faults.checker import check
from salesengine.tests.faults.database import Postgres, small_disk
from salesengine.tests.faults.follower import Follower
from salesengine.tests.faults.kinds_deployments import manage
from salesengine.tests.faults.lane import INJECTIONS, LOSSLESS, Lane
from salesengine.tests.faults.load import Load, Outcome
from salesengine.tests.faults.service import Service
from salesengine.tests.fuzz import tracebacks
from salesengine.tests.proxy import Proxy
from salesengine.tests.servers import empty_folder

BACK_WITHIN = 60  # seconds after the end of a fault; what takes longer is a violation


@dataclass
class Result:
    """What one injection did."""

    kind: str
    round: int
    seconds: float = 0
    recovery: float | None = None  # seconds from the end of the fault to the next acknowledged sale
    acknowledged: int = 0  # events
    answers: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    totals: int = 0
    violations: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Round:
    """The faults of a round, in order. The seed and the number decide everything that is random in it."""

    seed: str
    number: int
    kinds: Sequence[str]
    source: Path  # a data directory with a migrated database
    deadline: float  # on the monotonic clock; no fault begins later


def run_round(plan: Round) -> list[Result]:
    """Inject the faults of a round. Stops after the first violation, because it may cause others."""
    os.environ["ENV_FILE"] = os.devnull
    random = Random(f"{plan.seed}-{plan.number}")
    results: list[Result] = []
    loads: list[Load] = []
    if time.monotonic() > plan.deadline:
        return results
    with running(plan.source) as (database, proxy, service):
        follower = Follower(service, Random(f"{plan.seed}-{plan.number}-follower"))
        for position, kind in enumerate(plan.kinds):
            if time.monotonic() > plan.deadline:
                break
            load = Load([service.url], f"{plan.number}-{position}", random)
            lane = Lane(database.folder, database, proxy, service, load, random)
            loads.append(load)
            result = inject(lane, follower, Result(kind, plan.number), loads)
            results.append(result)
            sys.stderr.write(f"{line(result)}\n")
            if result.violations:
                sys.stderr.write(
                    "\n".join([*result.violations[:20], service.log()[-6000:], database.log()[-3000:], ""])
                )
                return results
        results += final_checks(plan, proxy, service)
    return results


@contextmanager
def running(source: Path) -> Iterator[tuple[Postgres, Proxy, Service]]:
    """Run a database on a disk of its own, a proxy and a service."""
    with small_disk() as disk, empty_folder() as folder:
        database = Postgres(disk, source)
        database.start()
        proxy = Proxy(database.data)
        service = Service(folder, proxy.url)
        try:
            service.start()
            yield database, proxy, service
        finally:
            service.kill()
            proxy.close()
            database.stop()


def inject(lane: Lane, follower: Follower, result: Result, loads: Sequence[Load]) -> Result:
    """Inject one fault while clients send and follow, wait until the service is back, and check everything.

    `loads` are the clients of all faults so far.
    """
    start, load = time.monotonic(), lane.load
    with follower.following():
        load.start()
        try:
            INJECTIONS[result.kind](lane)
        except Exception:
            result.violations.append(f"the fault could not be injected: {traceback.format_exc()}")
        ended = time.monotonic()
        result.recovery = load.wait_until_stored(ended, seconds=BACK_WITHIN)
        load.wait_until_stored(time.monotonic(), 10)
        load.stop(BACK_WITHIN)
    result.answers = load.answers
    result.acknowledged = sum(each.shape.size for each in load.requests if each.outcome is Outcome.STORED)
    if result.recovery is None:
        result.violations.append(f"no sale was stored within {BACK_WITHIN} s")
    if result.kind in LOSSLESS and set(load.answers) - {"200", "201", "207"}:
        result.violations.append(f"requests were lost: {dict(load.answers)}")
    requests = [request for each in loads for request in each.requests]
    corrections = [correction for each in loads for correction in each.corrections]
    found = check(lane.database, lane.service.url, requests, corrections)
    result.lost, result.doubled = len(found.lost), len(found.doubled)
    result.wrong, result.totals = len(found.wrong), len(found.totals)
    result.violations += [*load.failures, *found.all(), *follower.violations(lane.database)]
    result.seconds = time.monotonic() - start
    return result


def final_checks(plan: Round, proxy: Proxy, service: Service) -> list[Result]:
    """Return a result with violations if the command or the log of the service shows any."""
    result = Result("(end of the round)", plan.number)
    finished = manage(proxy.url, "verify_feedback")
    if finished.returncode:
        result.violations.append(f"verify_feedback: {finished.stdout}{finished.stderr}")
    result.violations += tracebacks(service.log())
    return [result] if result.violations else []


def line(result: Result) -> str:
    back = "never" if result.recovery is None else f"{result.recovery:.2f} s"
    answers = ", ".join(f"{status}: {number}" for status, number in sorted(result.answers.items()))
    return (
        f"round {result.round}, {result.kind}: {result.seconds:.1f} s, back after {back}, "
        f"{result.acknowledged:,} events, {answers}, {len(result.violations)} violations"
    )
