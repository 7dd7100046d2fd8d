"""Measure `manage.py import_sales` with a large file, and COPY alone with the same rows."""

import subprocess
import sys
import time
from contextlib import suppress
from itertools import islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil

from benchmarks import raw_copy
from benchmarks.batches import TABLES
from benchmarks.service import Service, note, service

CHUNK = 5_000  # rows in one COPY
MEGABYTE = 1_000_000
MARKS = {"a quarter": 1 / 4, "half": 1 / 2, "three quarters": 3 / 4}  # of the import's duration


class Import(NamedTuple):
    """The duration of one import, and samples of its resident memory in bytes, two per second."""

    seconds: float
    memory: list[int]


def measure(rounds: int, events: int) -> None:
    copies: list[float] = []
    imports: list[Import] = []
    with service() as measured:
        file = measured.write_events(events)
        rows = measured.folder / "rows.copy"
        raw_copy.write_rows(file, rows)
        with measured.serving():  # keeps the database running
            for number in range(rounds):
                copies.append(copy(measured, rows))
                note(f"round {number + 1}: COPY: {events / copies[-1]:,.0f} events/s")
                empty_tables(measured)
                imports.append(import_sales(measured, file))
                note(f"round {number + 1}: import_sales: {events / imports[-1].seconds:,.0f} events/s")
        measured.manage("verify_feedback")
    report(events, copies, imports)


def empty_tables(measured: Service) -> None:
    with measured.connect_database() as connection:
        connection.execute(f"TRUNCATE {', '.join(TABLES)}, file_imports")
        connection.execute("CHECKPOINT")


def copy(measured: Service, rows: Path) -> float:
    """Store the rows by COPY, chunk by chunk on one connection. Return the seconds."""
    empty_tables(measured)
    with measured.connect_database() as connection, rows.open("rb") as file:
        start = time.perf_counter()
        while block := b"".join(islice(file, CHUNK)):
            raw_copy.copy_block(connection, block)
        return time.perf_counter() - start


def import_sales(measured: Service, file: Path) -> Import:
    """Run the command as a process."""
    memory: list[int] = []
    command = [sys.executable, "manage.py", "import_sales", str(file)]
    log = measured.folder / "import.log"
    start = time.perf_counter()
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=measured.root, env=measured.environment, stdout=output, stderr=output)
    while process.poll() is None:
        memory.append(resident_memory(process.pid))
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise RuntimeError(f"import_sales exited with {process.returncode}: {log.read_text()[-2000:]}")
    return Import(seconds, memory)


def resident_memory(process_id: int) -> int:
    """Return the bytes of a process and its children, without PostgreSQL. Shared memory counts once per process."""
    total = 0
    with suppress(psutil.NoSuchProcess):  # it has just exited
        first = psutil.Process(process_id)
        for process in (first, *first.children(recursive=True)):
            total += process.memory_info().rss
    return total


def report(events: int, copies: list[float], imports: list[Import]) -> None:
    copied = events / median(copies)
    imported = events / median(run.seconds for run in imports)
    print(f"a file of {events:,} events")
    print(f"{'COPY':<16}{copied:>12,.0f} events/s")
    print(f"{'import_sales':<16}{imported:>12,.0f} events/s")
    marks = {name: median(run.memory[int(len(run.memory) * part)] for run in imports) for name, part in MARKS.items()}
    marks["at most"] = max(max(run.memory) for run in imports)
    figures = ", ".join(f"{name} {size / MEGABYTE:,.0f} MB" for name, size in marks.items())
    print(f"resident memory: {figures}    target: flat and under 300 MB")
    target = min(100_000, copied / 2)
    print(f"import_sales / COPY       {imported / copied:>6.2f}    target: at least {target:,.0f} events/s")
