"""import_sales, killed at random moments and started again: every event of the file once."""

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

# File, how often it is killed, and how many events there are: enough that no import ends before it is killed.
FILES = [("killed.ndjson", 20, 400_000), ("killed.csv.gz", 5, 160_000), ("killed.parquet", 5, 160_000)]
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


def rows(form, number):
    """No two of them are the same, and nothing but the place in the file says which were stored."""
    return [(f"{form}-{place}", "1", "2", "3", "203", "170", place) for place in range(number)]


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
        form = "{" + "".join(f'"{name}":"%s",' for name in NAMES) + '"REVENUE":%s,"DATE_PAYMENT":"2021-01-07"}\n'
        path.write_text("".join(form % row for row in rows))


def place(database):
    return database.execute("SELECT coalesce(sum(lines), 0) FROM file_imports").fetchone()[0]


def kill_at_random(process, database, chance):
    """Mostly while it writes, now and then before; whether it was killed before it ended."""
    begun_at = place(database)
    deadline = time.monotonic() + chance.choice((0.5, 30, 30, 30))
    while place(database) == begun_at and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(chance.uniform(0, 0.15))
    process.kill()
    return process.wait() != 0


@pytest.mark.parametrize(("name", "kills", "number"), FILES)
def test_an_import_killed_at_random_moments_stores_every_event_once(tmp_path, database, command, name, kills, number):
    chance = random.Random(name)
    form = name.removeprefix("killed.")
    sent = rows(form, number)
    write(tmp_path / name, sent)
    call = ("import_sales", str(tmp_path / name))

    killed = [kill_at_random(command(*call), database, chance) for _ in range(kills)]
    stored_before = count(database, form)

    assert killed == [True] * kills
    assert 0 < stored_before < len(sent)
    assert command(*call).wait() == 0
    assert stored(database, form) == {(*row[:6], Decimal(row[6])) for row in sent}
    assert count(database, form) == len(sent)
    assert command(*call).wait() == 0
    assert count(database, form) == len(sent)
    assert command("verify_feedback").wait() == 0


def count(database, form):
    return database.execute("SELECT count(*) FROM sales WHERE id_order LIKE %s", [f"{form}-%"]).fetchone()[0]


def stored(database, form):
    names = ", ".join(NAMES)
    return set(database.execute(f"SELECT {names}, revenue FROM sales WHERE id_order LIKE %s", [f"{form}-%"]))
