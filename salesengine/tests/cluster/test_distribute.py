"""manage.py distribute on a cluster: there, interrupted, and back."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest

from salesengine.embedded.programs import BINARIES
from salesengine.tests.cluster.installations import Installation, on_cluster
from salesengine.tests.servers import ROOT

pytestmark = pytest.mark.citus

DISTRIBUTE = ("distribute", "--shards", "4")
FIGURES = "SELECT count(*), sum(revenue), max(id), min(received_at) FROM sales"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Installation]:
    """Yield an installation on a cluster with demo sales on its coordinator."""
    with on_cluster() as installation:
        for command in (("prepare",), ("load_demo", "--sales", "3000", "--until", "2021-06-30")):
            assert succeeded(installation, *command)
        yield installation


def succeeded(installation: Installation, *command: str) -> str:
    output = installation.manage(*command)
    assert output.endswith("exit code 0\n"), output
    return output


def schema(installation: Installation) -> list[str]:
    """Return the lines of a dump of the schema, sorted, because new tables come in another order.

    Citus names the constraints of NOT NULL after the table that it copies into. PostgreSQL never asks for these names.
    """
    command = [BINARIES / "pg_dump", "--schema-only", installation.settings["DATABASE_URL"]]
    dump = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    dump = re.sub(r" CONSTRAINT \w+_not_null(?= NOT NULL)", "", dump)
    return sorted(line for line in dump.splitlines() if not re.match(r"\\(un)?restrict|--", line))


def query(installation: Installation, statement: str) -> list[tuple]:
    with psycopg.connect(installation.settings["DATABASE_URL"]) as connection:
        return list(connection.execute(statement))


def test_all_tables_come_back_as_they_were(cluster):
    before, figures = schema(cluster), query(cluster, FIGURES)

    output = succeeded(cluster, *DISTRIBUTE)
    assert "Feedback agrees with all 3,000 sales." in output
    assert query(cluster, FIGURES) == figures
    shards = query(
        cluster, "SELECT table_name::text, shard_count FROM citus_tables WHERE table_name::text !~ '^sales_'"
    )
    assert dict(shards) == {"country": 1, "event_ids": 4, "idempotency_keys": 4, "sales": 4}
    assert "Nothing is left to do" in succeeded(cluster, *DISTRIBUTE)

    succeeded(cluster, "distribute", "--reverse")
    assert query(cluster, FIGURES) == figures
    assert schema(cluster) == before
    assert "Nothing is left to do" in succeeded(cluster, "distribute", "--reverse")


@pytest.mark.parametrize("direction", [DISTRIBUTE, ("distribute", "--reverse")])
def test_an_interrupted_command_goes_on_where_it_stopped(cluster, direction):
    figures = query(cluster, FIGURES)
    with subprocess.Popen(
        [sys.executable, "manage.py", *direction],
        env=cluster.environment(),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stderr:
            if "event_ids" in line:  # the sales have moved
                process.send_signal(signal.SIGKILL)
                break

    output = succeeded(cluster, *direction)
    assert "sales by id_buyer" not in output
    assert "Bring sales back" not in output
    assert query(cluster, FIGURES) == figures
