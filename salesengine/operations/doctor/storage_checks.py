"""Find what takes space or time in the database for nothing, and what endangers the data: indexes, disk, backup."""

import shutil
from collections.abc import Iterator

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004

from salesengine.operations.doctor.queries import query
from salesengine.operations.last_backup import age_warnings
from salesengine.plurals import counted

MEGABYTE = 1_000_000
MIN_WASTE = 100 * MEGABYTE  # of an index
MIN_DEAD_ROWS = 100_000
LOW_DISK = 0.1  # of the disk is free
FULL_DISK = 1_000 * MEGABYTE

# Without those that are being built.
INVALID_INDEXES = """
    SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE NOT (indisvalid AND indisready) AND relkind = 'i' AND relnamespace = current_schema()::regnamespace
        AND indexrelid NOT IN (SELECT index_relid FROM pg_stat_progress_create_index)
    ORDER BY 1
    """
# An entry of a B-tree takes its columns and some 16 bytes, and new pages are filled to 90% (PostgreSQL manual,
# "B-Tree Indexes"). Entries are counted by vacuum and by the statistics, whichever is newer and so larger.
BLOATED_INDEXES = """
    WITH indexes AS (
        SELECT i.oid::regclass::text AS name, pg_relation_size(i.oid) AS bytes,
            greatest(i.reltuples, n_live_tup, 0) * (16 + SUM(coalesce(avg_width, 8))) / 0.9 AS needed
        FROM pg_index
        JOIN pg_class AS i ON i.oid = indexrelid
        JOIN pg_am ON pg_am.oid = i.relam AND amname = 'btree'
        JOIN pg_stat_user_tables AS t ON t.relid = indrelid
        CROSS JOIN unnest(indkey) AS number
        LEFT JOIN pg_attribute ON attrelid = indrelid AND attnum = number
        LEFT JOIN pg_stats ON pg_stats.schemaname = t.schemaname AND tablename = t.relname
            AND pg_stats.attname = pg_attribute.attname
        WHERE i.relkind = 'i' AND i.relnamespace = current_schema()::regnamespace
        GROUP BY i.oid, i.reltuples, n_live_tup
    )
    SELECT name, bytes, needed FROM indexes WHERE bytes > 3 * needed AND bytes - needed > %s ORDER BY name
    """
# Autovacuum begins at 20% of a table.
DEAD_ROWS = """
    SELECT relname, n_dead_tup FROM pg_stat_user_tables
    WHERE schemaname = current_schema() AND n_dead_tup >= %s AND n_dead_tup > 0.4 * n_live_tup
    ORDER BY relname
    """


def check_invalid_indexes() -> Iterator[CheckMessage]:
    """Yield salesengine.W211 for each index that was not built to its end: it costs time and serves no query."""
    for (name,) in query(INVALID_INDEXES):
        hint = f"Rebuild it: REINDEX INDEX CONCURRENTLY {name}. If its name ends in _ccnew, drop it."
        yield Warning(f"the index {name} is invalid, so it is not used", hint=hint, id="salesengine.W211")


def check_bloated_indexes() -> Iterator[CheckMessage]:
    """Yield salesengine.W212 for each index that is much larger than its entries."""
    for name, size, needed in query(BLOATED_INDEXES, [MIN_WASTE]):
        message = f"the index {name} has {size // MEGABYTE:,} MB, but some {needed / MEGABYTE:,.0f} MB are enough"
        hint = f"Rebuild it while nobody waits: REINDEX INDEX CONCURRENTLY {name}"
        yield Warning(message, hint=hint, id="salesengine.W212")


def check_dead_rows() -> Iterator[CheckMessage]:
    """Yield salesengine.W213 for each table with many dead rows."""
    for name, count in query(DEAD_ROWS, [MIN_DEAD_ROWS]):
        message = f"the table {name} has {counted(count, 'dead row')}, because autovacuum does not keep up"
        hint = f"Run VACUUM {name}. If they stay, look for a transaction that has been open for long."
        yield Warning(message, hint=hint, id="salesengine.W213")


def check_disk() -> Iterator[CheckMessage]:
    """Yield salesengine.E214 for a disk that is almost full, and W214 for one that soon will be.

    With DATABASE_URL, the disk of the database cannot be seen from here.
    """
    if not settings.IS_LOCAL:
        return
    usage = shutil.disk_usage(settings.LOCAL_DIR)
    hint = "Make room, or move LOCAL_DIR to a larger disk while the service is stopped."
    message = f"the disk of LOCAL_DIR has only {usage.free // MEGABYTE:,} MB left"
    if usage.free < FULL_DISK:
        yield Error(message, hint=hint, id="salesengine.E214")
    elif usage.free < LOW_DISK * usage.total:
        yield Warning(message, hint=hint, id="salesengine.W214")


def check_backup() -> Iterator[CheckMessage]:
    """Yield salesengine.W215 if the private database has no new backup."""
    if not settings.IS_LOCAL:
        return
    for warning in age_warnings():
        hint = "Back up the database every day. docs/operations.md says how."
        yield Warning(warning.rstrip("."), hint=hint, id="salesengine.W215")
