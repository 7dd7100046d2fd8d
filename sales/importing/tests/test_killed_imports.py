"""An import that is killed at random times and run again stores every event of its file once."""

import gzip
import os
import random
import subprocess
import sys
import time
from decimal import Decimal

import pyarrow as pa
import pytest
from pyarrow import parquet

from salesengine.tests.servers import ROOT, connect_database

pytestmark = pytest.mark.slow

# File, number of kills, number of events. The files are large enough that no import ends before it is killed.
FILES = [("killed.ndjson", 8, 100_000), ("killed.csv.gz", 3, 60_000), ("killed.parquet", 3, 80_000)]
NAMES = ("ID_ORDER", "ID_PRODUCT", "ID_BUYER", "ID_SELLER", "ID_SELLER_COUNTRY", "ID_BUYER_COUNTRY")


@pytest.fixture
def database(server, server_dir):
    with connect_database(server_dir) as database:
        yield database


@pytest.fixture
def command(server_dir):
    def command(*arguments):
        environment = os.environ | {"LOCAL_DIR": str(server_dir), "ENV_FILE": os.devnull}
        log = (server_dir / "imports.log").open("a")
        with log:
            return subprocess.Popen([sys.executable, "manage.py", *arguments], env=environment, cwd=ROOT, stderr=log)

    return command


def rows(prefix, number):
    """Return different rows without EVENT_ID, so that only the checkpoint tells which ones are stored."""
    return [(f"{prefix}-{index}", "1", "2", "3", "203", "170", index) for index in range(number)]


def write(path, rows):
    if path.suffix == ".parquet":
        columns = list(zip(*rows, strict=True))
        named = {**dict(zip(NAMES, columns, strict=False)), "REVENUE": columns[6]}
        table = pa.table({**named, "DATE_PAYMENT": ["2021-01-07"] * len(rows)})
        parquet.write_table(table, path, row_group_size=35_000)
    elif path.suffix == ".gz":
        lines = (f"{','.join(row[:6])},{row[6]},2021-01-07\n" for row in rows)
        path.write_bytes(gzip.compress((",".join(NAMES) + ",REVENUE,DATE_PAYMENT\n" + "".join(lines)).encode(), 1))
    else:
        template = "{" + "".join(f'"{name}":"%s",' for name in NAMES) + '"REVENUE":%s,"DATE_PAYMENT":"2021-01-07"}\n'
        path.write_text("".join(template % row for row in rows))


def imported_lines(database):
    return database.execute("SELECT coalesce(sum(lines), 0) FROM file_imports").fetchone()[0]


def kill_at_random(process, database, rng):
    """Kill an import, mostly while it writes and sometimes before. Return whether it was still running."""
    lines_before = imported_lines(database)
    deadline = time.monotonic() + rng.choice((0.5, 30, 30, 30))
    while imported_lines(database) == lines_before and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.05))
    process.kill()
    return process.wait() != 0


@pytest.mark.parametrize(("name", "kills", "number"), FILES)
def test_an_import_that_is_killed_at_random_times_stores_every_event_once(
    tmp_path, database, command, name, kills, number
):
    rng = random.Random(name)
    prefix = name.removeprefix("killed.")
    sent = rows(prefix, number)
    write(tmp_path / name, sent)
    arguments = ("import_sales", str(tmp_path / name))

    killed = [kill_at_random(command(*arguments), database, rng) for _ in range(kills)]
    stored_count = count_stored(database, prefix)

    assert killed == [True] * kills
    assert 0 < stored_count < len(sent)
    assert command(*arguments).wait() == 0
    assert stored_rows(database, prefix) == {(*row[:6], Decimal(row[6])) for row in sent}
    assert count_stored(database, prefix) == len(sent)
    assert command(*arguments).wait() == 0
    assert count_stored(database, prefix) == len(sent)
    assert command("verify_feedback").wait() == 0


def count_stored(database, prefix):
    return database.execute("SELECT count(*) FROM sales WHERE id_order LIKE %s", [f"{prefix}-%"]).fetchone()[0]


def stored_rows(database, prefix):
    names = ", ".join(NAMES)
    return set(database.execute(f"SELECT {names}, revenue FROM sales WHERE id_order LIKE %s", [f"{prefix}-%"]))
