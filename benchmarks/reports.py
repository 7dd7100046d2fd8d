"""Measure the reports, and compare them with the straightforward queries for the same results.

    .venv/bin/python -m benchmarks.reports [SALES] [--rounds N] [--plans] [--folder LOCAL_DIR]

The queries in benchmarks/original_sql join country names to every sale and sum by name, and sum each week separately.
They take turns with the reports, and use the same runner, connection, tables and indexes. The benchmark then compares
an export of all columns as CSV with COPY alone, and measures the peak memory of run_report. With --folder, it uses an
existing database, which is kept. Compare the ratios of the medians: the absolute times depend on the machine.
"""

import os
import subprocess
import sys
import time
from argparse import ArgumentParser
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import django
import psycopg

from benchmarks.service import ROOT, Service, service

if TYPE_CHECKING:
    from analytics.definitions.reports import ReportDefinition

SALES = 10_000_000
ROUNDS = 9
MAX_RATIO = 0.5  # of the report's time to the original's
EXPORTED = 2_000_000
REPORTS, ORIGINALS = ROOT / "sql", ROOT / "benchmarks" / "original_sql"
ALL_COLUMNS = """
SELECT id_order, id_product, id_buyer, id_seller, id_seller_country, id_buyer_country, date_payment, brand, category,
    revenue
FROM sales"""
PAIRS = {
    "country_contribution": ("country_contribution", "country_contribution_by_subqueries"),
    "top_country_relationships": ("top_country_relationships",),
    "repeat_buyer_revenue": ("repeat_buyer_revenue",),
}


class QueryRun(NamedTuple):
    """The result of a report or an original query, and the seconds from its start to its last row."""

    seconds: float
    columns: list[str]
    rows: list[tuple[object, ...]]


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.reports")
    parser.add_argument("sales", type=int, nargs="?", default=SALES, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--folder", help="an existing LOCAL_DIR with that many sales")
    parser.add_argument("--plans", action="store_true", help="show the execution plan of each query")
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, load before: {os.getloadavg()[0]:.2f}")
    with nullcontext(Service(options.folder, {})) if options.folder else service() as measured:
        use_database(measured)
        if not options.folder:
            load(measured, options.sales)
        print(f"{options.sales:,} sales, medians of {options.rounds} rounds")
        for name, originals in PAIRS.items():
            compare(name, originals, options.rounds)
        compare_export(measured, min(options.sales, EXPORTED), options.rounds)
        if options.plans:
            for name, originals in PAIRS.items():
                for path in paths(name, originals):
                    print(f"\n{path.relative_to(ROOT)}\n{plan(path)}")


def use_database(measured: Service) -> None:
    """Connect this process to the measured database, through the project's settings."""
    os.environ.update(measured.environment)
    django.setup()
    from django.db import connection

    connection.ensure_connection()  # keeps the database running


def load(measured: Service, sales: int) -> None:
    """Load demo sales in batches, then vacuum, as autovacuum would do later."""
    measured.manage("load_demo", "--sales", str(sales), "--until", "2021-06-30")
    with measured.connect_database() as database:
        vacuum(database)


def vacuum(database: psycopg.Connection) -> None:
    for table in ("sales", "country", "country_daily_total", "ledger"):
        database.execute(f"VACUUM (ANALYZE) {table}")
    database.execute("CHECKPOINT")


def compare(name: str, originals: tuple[str, ...], rounds: int) -> None:
    """Run a report and its original queries in turns, and print the medians."""
    times: dict[Path, list[float]] = {path: [] for path in paths(name, originals)}
    for number in range(rounds + 1):
        runs = {path: run(path) for path in times}
        report_run, *original_runs = runs.values()
        for original_run in original_runs:
            check(report_run, original_run)
        for path, path_run in runs.items():
            if number:  # the first round is a warm-up
                times[path].append(path_run.seconds)
    ours, *theirs = (median(seconds) for seconds in times.values())
    for original, seconds in zip(originals, theirs, strict=True):
        print(
            f"{original:<36}{ours * 1000:>8.0f} ms  original {seconds * 1000:>8.0f} ms  ratio {ours / seconds:.2f}"
            f"    target: at most {MAX_RATIO:.2f}"
        )


def compare_export(measured: Service, rows: int, rounds: int) -> None:
    """Export sales as CSV and by COPY in turns. Print the medians and the peak memory of run_report."""
    path = measured.folder / "export" / "all_sales.sql"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'/*\ntitle = "All"\ndescription = "All."\n*/\n{ALL_COLUMNS} LIMIT {rows}\n')
    methods = {"export": partial(export, path), "COPY": partial(copy, f"{ALL_COLUMNS} LIMIT {rows}")}
    times: dict[str, list[float]] = {name: [] for name in methods}
    for number in range(rounds + 1):
        for name, method in methods.items():
            start = time.perf_counter()
            method()
            if number:
                times[name].append(time.perf_counter() - start)
    ours, theirs = (median(seconds) for seconds in times.values())
    print(f"{rows:,} rows as CSV{ours:>18.2f} s   COPY{theirs:>10.2f} s   ratio {ours / theirs:.2f}")
    command = [sys.executable, "manage.py", "run_report", path.stem, "--format", "csv", "--output", "-", "--quiet"]
    environment = measured.environment | {"SQL_DIR": str(path.parent)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError("run_report failed")
    print(f"peak memory of run_report: {usage.ru_maxrss / 1024:.0f} MiB")  # Linux reports KiB


def export(path: Path) -> None:
    from analytics.output.formats.csv import encode_csv
    from analytics.running import runner

    report = _read(path)
    with runner.run(report, report.parse({})) as result, Path(os.devnull).open("wb") as file:
        for piece in encode_csv(result):
            file.write(piece)


def copy(query: str) -> None:
    from django.db import connections

    statement = f"COPY ({query}) TO STDOUT (FORMAT csv, HEADER)"
    with (
        connections["reports"].cursor() as cursor,
        cursor.copy(statement) as lines,
        Path(os.devnull).open("wb") as file,
    ):
        for line in lines:
            file.write(line)


def paths(name: str, originals: tuple[str, ...]) -> list[Path]:
    return [REPORTS / f"{name}.sql", *(ORIGINALS / f"{original}.sql" for original in originals)]


def run(path: Path) -> QueryRun:
    """Run one query to its last row, as a report."""
    from analytics.running import runner

    report = _read(path)
    start = time.perf_counter()
    with runner.run(report, report.parse({})) as result:
        rows = list(result.rows)
        return QueryRun(time.perf_counter() - start, [column.name for column in result.columns], rows)


def check(report: QueryRun, original: QueryRun) -> None:
    """Raise RuntimeError unless the report contains the original's rows, compared by the columns they share."""
    shared = [name for name in report.columns if name in original.columns]
    ours, theirs = (
        {tuple(row[run.columns.index(name)] for name in shared) for row in run.rows} for run in (report, original)
    )
    if not theirs <= ours:
        raise RuntimeError(f"not in the report: {theirs - ours}")


def plan(path: Path) -> str:
    """Return the plan of a query as the runner executes it: inside another SELECT, in a read-only snapshot."""
    from django.db import connections, transaction

    report = _read(path)
    sql = report.statement.bind({name: each.sql_type for name, each in report.parameters.items()})
    with transaction.atomic(using="reports"), connections["reports"].cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute(
            f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) SELECT * FROM ({sql}\n) AS report",
            report.parse({}).values or {"": None},
        )
        return "\n".join(line for (line,) in cursor)


def _read(path: Path) -> "ReportDefinition":
    from analytics.definitions.reports import read_report

    return read_report(path)


if __name__ == "__main__":
    main()
