"""Measure single events with an API key: POST /ingest, and POST /parse, which stores nothing."""

import time
from collections import defaultdict
from statistics import median
from typing import NamedTuple

import psutil

from benchmarks.service import Service, cpu_seconds, note, service
from benchmarks.wrk import LoadResult, Wrk

USUAL, MAXIMUM = 15, 256  # clients
CASES = (("/ingest", USUAL), ("/parse", USUAL), *(("/ingest", clients) for clients in (1, 4, 64, MAXIMUM)))
SECONDS = 8
START = 200_000  # demo sales before the first run


class WrkRun(NamedTuple):
    """One run of wrk, and the CPU seconds that the service and the database used meanwhile."""

    load: LoadResult
    service: float
    database: float

    @property
    def rate(self) -> float:
        return self.load.rate

    def microseconds(self) -> tuple[float, float, float]:
        """Return the CPU time per response of wrk, service and database."""
        used = (self.load.cpu_seconds, self.service, self.database)
        return tuple(seconds / self.load.responses * 1e6 for seconds in used)  # type: ignore[return-value]


def measure(rounds: int) -> None:
    runs: dict[tuple[str, int], list[WrkRun]] = defaultdict(list)
    with service(API_KEY_REQUIRED="true", WEB_CONCURRENCY="2") as measured:
        measured.manage("load_demo", "--sales", str(START))
        with measured.serving() as gunicorn:
            bench = SinglesBench(measured, gunicorn)
            bench.run("/ingest", MAXIMUM, seconds=3)  # warm-up
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

    def run(self, path: str, clients: int, seconds: int = SECONDS) -> WrkRun:
        """Run wrk once. Raise RuntimeError unless every 201 response has its sale in the table."""
        sales = self._count_sales()
        service_before, database_before = cpu_seconds(self.gunicorn), cpu_seconds(self.postmaster)
        load = self.wrk.post(path, clients, seconds)
        time.sleep(0.5)  # let requests finish that wrk did not wait for
        run = WrkRun(load, cpu_seconds(self.gunicorn) - service_before, cpu_seconds(self.postmaster) - database_before)
        accepted = load.responses - load.refused if path == "/ingest" else 0
        extra = self._count_sales() - sales - accepted
        # When wrk stops, it closes its connections, so each client may have one stored sale without a response.
        if not 0 <= extra <= (clients if accepted else 0):
            raise RuntimeError(f"{accepted} events were accepted, but {accepted + extra} were stored")
        return run

    def _count_sales(self) -> int:
        row = self.database.execute("SELECT count(*) FROM sales").fetchone()
        assert row
        return int(row[0])


def report(runs: dict[tuple[str, int], list[WrkRun]]) -> None:
    head = f"{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}{'errors':>8}{'timeouts':>11}"
    print(f"{'single events':<16}{'clients':>8}{head}   CPU us per request: wrk, service, database")
    for (path, clients), case_runs in sorted(runs.items()):
        medians = (median(getattr(run.load, name) for run in case_runs) for name in ("rate", "p50", "p99", "max"))
        rate, *latencies = medians
        errors = sum(run.load.refused + run.load.broken for run in case_runs)
        timeouts = sum(run.load.timeouts for run in case_runs)
        costs = (median(values) for values in zip(*(run.microseconds() for run in case_runs), strict=True))
        line = f"{rate:>12,.0f}{''.join(f'{value:>9.1f}' for value in latencies)}{errors:>8}{timeouts:>11}"
        print(f"{path:<16}{clients:>8}{line}   {''.join(f'{cost:>8.0f}' for cost in costs)}")
    rates = {case: median(run.rate for run in case_runs) for case, case_runs in runs.items()}
    best = max(rate for (path, _), rate in rates.items() if path == "/ingest")
    usual = rates["/ingest", USUAL] / rates["/parse", USUAL]
    print(f"/ingest / /parse, {USUAL} clients     {usual:.2f}    target: at least 0.55")
    print(f"/ingest, {MAXIMUM} clients / best     {rates['/ingest', MAXIMUM] / best:.2f}    target: at least 0.80")
