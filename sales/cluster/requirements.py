"""Check that the database is the coordinator of a cluster that can take the tables."""

from django.db import connection

from salesengine.operations.database_checks import pending_migrations
from salesengine.plurals import counted

NODES = """
    SELECT array_agg(nodename || ':' || nodeport ORDER BY groupid) FILTER (WHERE groupid > 0 AND isactive),
        count(*) FILTER (WHERE groupid = 0) > 0
    FROM pg_dist_node
    WHERE noderole = 'primary'
    """
NO_EXTENSION = (
    "The database has no extension citus. Run CREATE EXTENSION citus in it, here and on each worker, and then SELECT"
    " citus_set_coordinator_host('HOST', PORT) and SELECT citus_add_node('WORKER', PORT)."
)
HAS_EXTENSION = "SELECT to_regclass('pg_dist_node') IS NOT NULL"
IS_SUPERUSER = "SELECT rolsuper, rolname FROM pg_roles WHERE rolname = current_user"


def workers() -> list[str]:
    """Return the workers of the cluster as host:port, or nothing without a cluster."""
    return _nodes()[0]


def missing() -> list[str]:
    """Return what is missing, and what to do about it, one sentence or two each."""
    problems = [*_missing_nodes(), *_missing_rights()]
    if pending := pending_migrations():
        number = counted(len(pending), "migration")
        problems.append(f"{number} must be applied first. Run manage.py prepare.")
    return problems


def _missing_nodes() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(HAS_EXTENSION)
        if not cursor.fetchone()[0]:
            return [NO_EXTENSION]
    nodes, has_coordinator = _nodes()
    problems = []
    if not has_coordinator:
        problems.append("The coordinator has no address. Run SELECT citus_set_coordinator_host('HOST', PORT).")
    if not nodes:
        problems.append("The cluster has no worker. Run SELECT citus_add_node('WORKER', PORT) for each one.")
    return problems


def _missing_rights() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(IS_SUPERUSER)
        is_superuser, name = cursor.fetchone()
    return [] if is_superuser else [f"The user {name} is not a superuser. Name one in DATABASE_URL for this command."]


def _nodes() -> tuple[list[str], bool]:
    with connection.cursor() as cursor:
        cursor.execute(NODES)
        nodes, has_coordinator = cursor.fetchone()
    return nodes or [], has_coordinator
