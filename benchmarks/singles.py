"""Single events, one a request, key checked: POST /ingest beside POST /parse, which stores nothing."""

import time
from collections import defaultdict
from statistics import median
from typing import NamedTuple

import psutil

from benchmarks.service import Service, cpu_seconds, note, service
from benchmarks.wrk import Outcome, Wrk

USUAL, MOST = 15, 256  # clients
CASES = (("/ingest", USUAL), ("/parse", USUAL), *(("/ingest", clients) for clients in (1, 4, 64, MOST)))
SECONDS = 8
START = 200_000  # demo sales there are before


class Run(NamedTuple):
    """One run of wrk, and the processor time that service and database took meanwhile."""

    outcome: Outcome
    service: float
    database: float

    @property
    def rate(self) -> float:
        return self.outcome.rate

    def microseconds(self) -> tuple[float, float, float]:
        """Processor time an answer of wrk, service and database."""
        used = (self.outcome.cpu_seconds, self.service, self.database)
        return tuple(seconds / self.outcome.answers * 1e6 for seconds in used)  # type: ignore[return-value]


def measure(rounds: int) -> None:
    runs: dict[tuple[str, int], list[Run]] = defaultdict(list)
    with service(API_KEY_REQUIRED="true", WEB_CONCURRENCY="2") as measured:
        measured.manage("load_demo", "--sales", str(START))
        with measured.serving() as gunicorn:
            bench = SinglesBench(measured, gunicorn)
            bench.run("/ingest", MOST, seconds=3)  # warm-up
            for number in range(rounds):
                for case in CASES:
                    runs[case].append(bench.run(*case))
                    note(f"round {number + 1}: {case[0]}, {case[1]} clients: {runs[case][-1].rate:,.0f}/s")
        measured.manage("verify_feedback")
    report(runs)


class SinglesBench:
    def __init__(self, measured: Service, gunicorn: psutil.Process) -> None:
        self.gunicorn, self.postmaster = gunicorn, measured.postmaster()
        self.database = measured.connect_database()
        events = measured.write_events(2_000)
        self.wrk = Wrk(measured.folder, events, f"http://127.0.0.1:{measured.port}", measured.make_key())

    def run(self, address: str, clients: int, seconds: int = SECONDS) -> Run:
        """One run; RuntimeError if the sales in the table are not the ones that were answered with 201."""
        sales = self._count_sales()
        service_before, database_before = cpu_seconds(self.gunicorn), cpu_seconds(self.postmaster)
        outcome = self.wrk.post(address, clients, seconds)
        time.sleep(0.5)  # what wrk did not wait for ends meanwhile
        run = Run(outcome, cpu_seconds(self.gunicorn) - service_before, cpu_seconds(self.postmaster) - database_before)
        accepted = outcome.answers - outcome.refused if address == "/ingest" else 0
        unanswered = self._count_sales() - sales - accepted
        # At its end wrk cuts its connections: each client may have one sale stored that it saw no answer to.
        if not 0 <= unanswered <= (clients if accepted else 0):
            raise RuntimeError(f"{accepted} events were accepted, and {unanswered:+} more were stored")
        return run

    def _count_sales(self) -> int:
        row = self.database.execute("SELECT count(*) FROM sales").fetchone()
        assert row
        return int(row[0])


def report(runs: dict[tuple[str, int], list[Run]]) -> None:
    head = f"{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}{'errors':>8}{'time-outs':>11}"
    print(f"{'single events':<16}{'clients':>8}{head}   us of processor a request: wrk, service, database")
    for (address, clients), each in sorted(runs.items()):
        middle = (median(getattr(run.outcome, name) for run in each) for name in ("rate", "p50", "p99", "max"))
        rate, *latencies = middle
        errors = sum(run.outcome.refused + run.outcome.broken for run in each)
        timeouts = sum(run.outcome.timeouts for run in each)
        costs = (median(values) for values in zip(*(run.microseconds() for run in each), strict=True))
        line = f"{rate:>12,.0f}{''.join(f'{value:>9.1f}' for value in latencies)}{errors:>8}{timeouts:>11}"
        print(f"{address:<16}{clients:>8}{line}   {''.join(f'{cost:>8.0f}' for cost in costs)}")
    rates = {case: median(run.rate for run in each) for case, each in runs.items()}
    best = max(rate for (address, _), rate in rates.items() if address == "/ingest")
    usual = rates["/ingest", USUAL] / rates["/parse", USUAL]
    print(f"/ingest against /parse, {USUAL} clients        {usual:.2f}    wanted: at least 0.55")
    print(f"/ingest, {MOST} clients against the best     {rates['/ingest', MOST] / best:.2f}    wanted: at least 0.80")
