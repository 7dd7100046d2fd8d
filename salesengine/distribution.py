"""Tell whether the tables are distributed over the nodes of a Citus cluster, and limit connections to its workers."""

from django.db import connections

# Without the extension, this table does not exist. Its rows with the method "h" are distributed by a column.
FIND_CATALOG = "SELECT to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL"
FIND_TABLES = "SELECT EXISTS (SELECT FROM pg_catalog.pg_dist_partition WHERE partmethod = 'h')"
# Uses one connection to each worker instead of one for each shard, until the end of the caller's transaction.
FEW_CONNECTIONS = "SET LOCAL citus.multi_shard_modify_mode = 'sequential'"

_answers: dict[str, bool] = {}


def is_distributed(using: str) -> bool:
    """Return whether the database of an alias has distributed tables. The process asks it once."""
    if using not in _answers:
        with connections[using].cursor() as cursor:
            cursor.execute(FIND_CATALOG)
            answer: bool = cursor.fetchone()[0]
            if answer:
                cursor.execute(FIND_TABLES)
                answer = cursor.fetchone()[0]
        _answers[using] = answer
    return _answers[using]
