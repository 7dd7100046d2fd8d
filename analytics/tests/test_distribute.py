"""manage.py distribute, as far as it can be tested without a cluster."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

pytestmark = pytest.mark.django_db

# What Citus has in its catalogs, for the columns that the command reads.
CATALOGS = """
    CREATE TABLE pg_dist_node (groupid int, nodename text, nodeport int, isactive boolean, noderole text);
    CREATE TABLE pg_dist_partition (logicalrelid regclass, partmethod "char")
    """
NODE = "INSERT INTO pg_dist_node VALUES (%s, %s, 5432, true, 'primary')"


@pytest.fixture
def cluster():
    """Let the database look like that of a coordinator with two workers."""
    with connection.cursor() as cursor:
        cursor.execute(CATALOGS)
        for group, name in enumerate(("db", "worker1", "worker2")):
            cursor.execute(NODE, [group, name])
        yield cursor
        cursor.execute("RESET ROLE; DROP TABLE pg_dist_node, pg_dist_partition")


def distribute(*arguments):
    """Run the command. Return its standard output, and what it says on standard error."""
    out, err = StringIO(), StringIO()
    call_command("distribute", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def failure(*arguments):
    with pytest.raises(CommandError) as caught:
        distribute(*arguments)
    return caught.value


@pytest.mark.parametrize("arguments", [(), ("--dry-run",), ("--reverse",)])
def test_plain_postgresql_is_told_what_is_missing(arguments):
    error = failure(*arguments)

    assert error.returncode == 1
    assert str(error).splitlines() == [
        "The tables cannot be distributed:",
        (
            "The database has no extension citus. Run CREATE EXTENSION citus in it, here and on each worker, and then "
            "SELECT citus_set_coordinator_host('HOST', PORT) and SELECT citus_add_node('WORKER', PORT)."
        ),
    ]


def test_all_that_is_missing_is_told_at_once(cluster):
    MigrationRecorder.Migration.objects.filter(app="analytics").latest("pk").delete()
    cursor = cluster
    cursor.execute("DELETE FROM pg_dist_node")
    cursor.execute("CREATE ROLE shop; GRANT ALL ON ALL TABLES IN SCHEMA public TO shop; SET ROLE shop")

    lines = str(failure("--dry-run")).splitlines()

    assert lines[1:] == [
        "The coordinator has no address. Run SELECT citus_set_coordinator_host('HOST', PORT).",
        "The cluster has no worker. Run SELECT citus_add_node('WORKER', PORT) for each one.",
        "The user shop is not a superuser. Name one in DATABASE_URL for this command.",
        "1 migration must be applied first. Run manage.py prepare.",
    ]


def test_a_dry_run_says_every_step_and_changes_nothing(cluster):
    out, err = distribute("--dry-run", "--shards", "16")

    assert err == "2 workers: worker1:5432, worker2:5432\n"
    assert out.splitlines() == [
        "Would set citus.max_cached_conns_per_worker = 8 for this database",
        "Would set citus.propagate_set_commands = local for this database",
        "Would copy country to every node",
        "Would distribute sales by id_buyer over 16 shards",
        "Would distribute event_ids by event_id over 16 shards",
        "Would distribute idempotency_keys by key over 16 shards",
        "Would remove the copy of sales on the coordinator",
        "Would remove the copy of event_ids on the coordinator",
        "Would remove the copy of idempotency_keys on the coordinator",
        "Would remove the copy of country on the coordinator",
    ]
    assert distribute("--dry-run", "--shards", "16") == (out, err)


def test_a_dry_run_leaves_out_the_steps_that_are_done(cluster):
    cluster.execute("TRUNCATE sales, country")  # other tests may have left them larger than nothing
    cluster.execute("INSERT INTO pg_dist_partition VALUES ('country', 'n'), ('sales', 'h')")

    out, _ = distribute("--dry-run")

    assert out.splitlines()[2:] == [
        "Would distribute event_ids by event_id over 32 shards",
        "Would distribute idempotency_keys by key over 32 shards",
        "Would remove the copy of event_ids on the coordinator",
        "Would remove the copy of idempotency_keys on the coordinator",
    ]


def test_a_dry_run_of_the_way_back_says_every_step(cluster):
    cluster.execute("INSERT INTO pg_dist_partition VALUES ('country', 'n'), ('sales', 'h')")

    assert distribute("--dry-run", "--reverse")[0].splitlines() == [
        "Would bring sales back to the coordinator",
        "Would bring country back to the coordinator",
    ]


def test_a_dry_run_with_nothing_to_do_says_so(cluster):
    assert distribute("--dry-run", "--reverse") == (
        "",
        "2 workers: worker1:5432, worker2:5432\nNothing is left to do. verify_feedback compares the figures.\n",
    )


@pytest.mark.django_db(transaction=True)
def test_an_error_of_the_database_says_how_to_go_on(cluster):
    """Plain PostgreSQL has no function create_distributed_table."""
    lines = str(failure()).splitlines()

    assert lines[0].startswith("Database error: function ")
    assert lines[-1] == "Run the command again to go on."


@pytest.mark.parametrize("shards", ["0", "-1", "1025", "many", "1.5", ""])
def test_an_invalid_number_of_shards_is_refused(shards):
    assert "must be a number from 1 to 1,024" in str(failure("--shards", shards))
