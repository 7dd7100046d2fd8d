"""The steps that distribute the tables over the workers, and those that bring them back.

The catalogs tell which steps are done already, so an interrupted command goes on where it stopped. Each step is one
transaction.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from countries.models import Country
from sales.cluster.dependents import create_again, drop_dependents
from sales.models import EventId, IdempotencyKey, Sale
from sales.partitions.months import OPTIONS, PARTITIONS
from salesengine.distribution import FEW_CONNECTIONS

SALES = Sale._meta.db_table
COUNTRY = Country._meta.db_table
# The tables with a row for each sale or request, and the column that decides on the shard of a row. The shards of two
# tables never meet in one statement, so they need not be on the same worker.
DISTRIBUTED = {SALES: "id_buyer", EventId._meta.db_table: "event_id", IdempotencyKey._meta.db_table: "key"}
# Citus wants the distribution column in each key. The id comes first, because folds look sales up by id.
LOCAL_KEY, DISTRIBUTED_KEY = "id, date_payment", "id, id_buyer, date_payment"
# Keeping a connection for each shard saves opening one for each batch, and SET LOCAL has to reach the workers too.
SETTINGS = {"citus.max_cached_conns_per_worker": "8", "citus.propagate_set_commands": "local"}
# Parallel workers of PostgreSQL cannot plan a distributed query.
LEDGER_FUNCTION = "country_sales_in_journal()"

TABLES = "SELECT logicalrelid::text FROM pg_dist_partition WHERE partmethod IN ('h', 'n')"
KEY = "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'p'"
SET_HERE = """
    SELECT split_part(setting, '=', 1)
    FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase, unnest(setconfig) AS setting
    WHERE datname = current_database() AND setrole = 0
    """
LOCAL_BYTES = """
    SELECT sum(pg_relation_size(inhrelid))
    FROM (SELECT relid AS inhrelid FROM pg_partition_tree(%s) UNION SELECT %s::regclass) AS part
    """


class ClusterStep(NamedTuple):
    """What a step does, as a sentence without its subject, and the function that does it."""

    text: str
    run: Callable[[CursorWrapper], object]


def run(step: ClusterStep) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL client_min_messages = warning")
        step.run(cursor)


def steps_to_distribute(shards: int) -> Iterator[ClusterStep]:
    """Yield the steps that are still to do."""
    with connection.cursor() as cursor:
        known, settings = _column(cursor, TABLES), _column(cursor, SET_HERE)
    for name, value in SETTINGS.items():
        if name not in settings:
            yield ClusterStep(f"set {name} = {value} for this database", partial(_set, name=name, value=value))
    if COUNTRY not in known:
        yield ClusterStep(f"copy {COUNTRY} to every node", partial(_call, f"create_reference_table('{COUNTRY}')"))
    for table, column in DISTRIBUTED.items():
        if table not in known:
            text = f"distribute {table} by {column} over {shards} shards"
            yield ClusterStep(text, partial(_distribute, table=table, column=column, shards=shards))
    for table in (*DISTRIBUTED, COUNTRY):
        if table not in known or _local_bytes(table):
            call = f"truncate_local_data_after_distributing_table('{table}')"
            yield ClusterStep(f"remove the copy of {table} on the coordinator", partial(_call, call))


def steps_to_reverse() -> Iterator[ClusterStep]:
    """Yield the steps that are still to do."""
    with connection.cursor() as cursor:
        known, settings = _column(cursor, TABLES), _column(cursor, SET_HERE)
    for table in (*DISTRIBUTED, COUNTRY):
        if table in known:
            yield ClusterStep(f"bring {table} back to the coordinator", partial(_undistribute, table=table))
    for name in SETTINGS:
        if name in settings:
            yield ClusterStep(f"reset {name} for this database", partial(_set, name=name, value=None))


def analyze() -> None:
    """Let PostgreSQL plan with the new sizes of the tables."""
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {', '.join((*DISTRIBUTED, COUNTRY))}")


def _distribute(cursor: CursorWrapper, table: str, column: str, shards: int) -> None:
    cursor.execute(FEW_CONNECTIONS)  # the statements that create the shards of many months overwhelm more of them
    if table == SALES:
        cursor.execute(f"LOCK TABLE {SALES} IN ACCESS EXCLUSIVE MODE")
        key = _drop_key(cursor)
        cursor.execute(f"ALTER FUNCTION {LEDGER_FUNCTION} PARALLEL UNSAFE")
    cursor.execute(
        "SELECT create_distributed_table(%s, %s, shard_count => %s, colocate_with => 'none')", [table, column, shards]
    )
    if table == SALES:  # now, so that the workers build it
        cursor.execute(f"ALTER TABLE {SALES} ADD CONSTRAINT {key} PRIMARY KEY ({DISTRIBUTED_KEY})")


def _undistribute(cursor: CursorWrapper, table: str) -> None:
    dependents = drop_dependents(cursor, table)
    cursor.execute("SELECT undistribute_table(%s)", [table])
    if table == SALES:
        key = _drop_key(cursor)
        cursor.execute(f"ALTER TABLE {SALES} ADD CONSTRAINT {key} PRIMARY KEY ({LOCAL_KEY})")
        for partition in _column(cursor, PARTITIONS):
            cursor.execute(f"ALTER TABLE {partition} {OPTIONS}")
    cursor.execute("SET LOCAL citus.enable_ddl_propagation = off")  # the workers no longer need them
    create_again(cursor, dependents)
    if table == SALES:
        cursor.execute(f"ALTER FUNCTION {LEDGER_FUNCTION} PARALLEL SAFE")


def _drop_key(cursor: CursorWrapper) -> str:
    """Drop the primary key of the sales, and return its name."""
    [key] = _column(cursor, KEY, SALES)
    cursor.execute(f"ALTER TABLE {SALES} DROP CONSTRAINT {key}")
    return key


def _set(cursor: CursorWrapper, name: str, value: str | None) -> None:
    database = connection.ops.quote_name(str(connection.settings_dict["NAME"]))
    change = f"RESET {name}" if value is None else f"SET {name} = {value}"
    cursor.execute(f"ALTER DATABASE {database} {change}")


def _call(call: str, cursor: CursorWrapper) -> None:
    cursor.execute(f"SELECT {call}")


def _local_bytes(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(LOCAL_BYTES, [table, table])
        size: int = cursor.fetchone()[0]
    return size


def _column(cursor: CursorWrapper, statement: str, *values: str) -> list[str]:
    cursor.execute(statement, values)
    return [value for value, *_ in cursor]
