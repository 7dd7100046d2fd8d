"""Archives that are killed at random times lose no sale, and go on when they are run again."""

import hashlib
import random
import time
from pathlib import Path

import httpx
import pytest

from sales.archiving import moving
from salesengine.backups.tests.helpers import object_store, run_command
from salesengine.tests.servers import connect_database, manage, new_folder, serve, start_command

pytestmark = pytest.mark.slow

KILLS = 3
SALES = 12_000  # of 13 months
DIGESTS = "SELECT date_trunc('month', date_payment, 'UTC')::date::text, md5(string_agg(sales::text, '' ORDER BY id))"
IS_RESTORING = f"SELECT pid FROM pg_locks WHERE objid = {moving.LOCK}"
NOW = "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM')"


@pytest.fixture(scope="module")
def folder():
    """The LOCAL_DIR of a running service with a year of sales."""
    with new_folder() as folder, serve(folder):
        manage(folder, "load_demo", "--sales", str(SALES))
        yield folder


@pytest.fixture
def database(folder):
    with connect_database(folder) as database:
        yield database


def months(database):
    """Return a digest of all columns of the sales of each month that is in the database."""
    return dict(database.execute(f"{DIGESTS} FROM sales GROUP BY 1").fetchall())


def files(place):
    return {path.name: path.stat().st_mtime_ns for path in place.glob("*")}


def kill_at_random(process, has_begun, rng):
    """Kill a command after it has begun to change something. Return whether it was still running."""
    deadline = time.monotonic() + 120
    while not has_begun() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.1))
    process.kill()
    return process.wait() != 0


def assert_each_month_is_in_one_place(database, sold):
    """Each month has its sales in the database, or a verified file and a record."""
    stored = months(database)
    archived = database.execute("SELECT month::text, url, sha256 FROM archived_month").fetchall()
    assert {month for month, *_ in archived} == sold.keys() - stored.keys()
    assert stored == {month: digest for month, digest in sold.items() if month in stored}
    for _, url, sha256 in archived:
        assert hashlib.sha256(Path(url).read_bytes()).hexdigest() == sha256


def test_an_archive_that_is_killed_at_random_times_loses_no_sale(tmp_path, folder, database):
    rng = random.Random(15)
    sold = months(database)
    [this_month] = database.execute(NOW).fetchone()
    archive = ("archive_sales", "--before", this_month, "--to", tmp_path)
    for _ in range(KILLS):
        before = files(tmp_path)
        process = start_command(folder, *archive)
        assert kill_at_random(process, lambda before=before: files(tmp_path) != before, rng)
        assert_each_month_is_in_one_place(database, sold)

    finished = run_command(folder, *archive)

    assert finished.returncode == 0, finished.stderr
    assert_each_month_is_in_one_place(database, sold)
    assert set(months(database)) == {f"{this_month}-01"}
    assert len(files(tmp_path)) == 2 * (len(sold) - 1) + 1  # no drafts, but the lock
    restore = ("restore_sales", "--from", tmp_path, sorted(sold)[5][:7])
    process = start_command(folder, *restore)
    assert kill_at_random(process, lambda: database.execute(IS_RESTORING).fetchone(), rng)
    if len(months(database)) == 1:
        run_command(folder, *restore)
    assert_each_month_is_in_one_place(database, sold)
    assert len(months(database)) == 2
    manage(folder, "verify_feedback")


@pytest.fixture
def store():
    with object_store() as settings:
        yield settings


def test_an_object_store_keeps_archives_too(store, folder, database):
    sold = months(database)
    month = min(month for month in sold if month > min(sold))  # an earlier test may have archived the first ones
    url = "s3://bucket/shop"

    archived = run_command(folder, "archive_sales", "--before", month[:7], "--to", url, **store)
    names = httpx.get(f"{store['AWS_ENDPOINT']}/bucket").text
    restored = run_command(folder, "restore_sales", "--from", url, min(sold)[:7], **store)

    assert archived.stdout == f"{url}/sales-{min(sold)[:7]}.parquet\n", archived.stderr
    assert f"<Key>shop/sales-{min(sold)[:7]}.json</Key>" in names
    assert restored.returncode == 0, restored.stderr
    assert months(database) == sold
