"""A migration to partitions that is killed at random times loses no sale, and goes on when it is run again."""

import random
import signal
import time

import pytest

from salesengine.tests.servers import connect_database, manage, new_folder, serve, start_command, wait_until

pytestmark = pytest.mark.slow

KILLS = 4
SALES = 100_000
BEFORE, EXCHANGE = "0020_days_of_entries", "0021_partition_sales"
DIGEST = "SELECT count(*), sum(revenue), md5(string_agg(sales::text, '' ORDER BY id)) FROM sales"
# The session that changes the table.
IS_CHANGING = """
    SELECT pid FROM pg_stat_activity
    WHERE query ~ 'paid_before|sales_payment_key|sales_ids|ANALYZE sales$' AND pid <> pg_backend_pid()
    """


def kill_at_random(folder, database, rng, migration):
    """Start to migrate, and kill the command after it has begun to change the table. Return whether it still ran."""
    wait_until(lambda: not database.execute(IS_CHANGING).fetchone())  # what a killed one has begun
    process = start_command(folder, "migrate", "sales", migration)
    while not database.execute(IS_CHANGING).fetchone() and process.poll() is None:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.2))
    process.kill()
    status = process.wait()
    assert status in {0, -signal.SIGKILL}
    return status != 0


def test_a_migration_that_is_killed_at_random_times_loses_no_sale():
    rng = random.Random(15)
    with new_folder() as folder, serve(folder), connect_database(folder) as database:
        manage(folder, "load_demo", "--sales", str(SALES))
        sold = database.execute(DIGEST).fetchone()
        for migration in (BEFORE, EXCHANGE):
            killed = 0
            for _ in range(KILLS):
                killed += kill_at_random(folder, database, rng, migration)
                assert database.execute(DIGEST).fetchone() == sold
            assert killed
            manage(folder, "migrate", "sales", migration)
            assert database.execute(DIGEST).fetchone() == sold

        manage(folder, "migrate")

        assert database.execute("SELECT count(*) FROM sales_before_partitions").fetchone()[0] == SALES
        manage(folder, "verify_feedback")
