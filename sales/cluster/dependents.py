"""Create views and functions again that Citus drops, without a word, when it replaces a table that they read."""

from typing import NamedTuple

from django.db.backends.utils import CursorWrapper

# The views and functions that read a table, and those that read them, each after what it reads.
FIND = """
    WITH RECURSIVE dependent AS (
        SELECT 'pg_class'::regclass::oid AS class, %s::regclass::oid AS object, 0 AS depth
        UNION
        SELECT CASE WHEN ev_class IS NULL THEN classid ELSE 'pg_class'::regclass END, coalesce(ev_class, objid),
            depth + 1
        FROM dependent
        JOIN pg_depend ON refclassid = class AND refobjid = object
        LEFT JOIN pg_rewrite ON classid = 'pg_rewrite'::regclass AND pg_rewrite.oid = objid
        WHERE coalesce(ev_class, 0) <> object AND (ev_class IS NOT NULL OR classid = 'pg_proc'::regclass)
    ), named AS (
        SELECT class, object, max(depth) AS depth FROM dependent GROUP BY class, object
    )
    SELECT 'VIEW', oid::regclass::text, 'CREATE VIEW ' || oid::regclass || ' AS ' || pg_get_viewdef(oid),
        pg_get_userbyid(relowner), relacl::text, depth
    FROM named JOIN pg_class ON class = 'pg_class'::regclass AND oid = object AND relkind = 'v'
    UNION ALL
    SELECT 'FUNCTION', oid::regprocedure::text, pg_get_functiondef(oid), pg_get_userbyid(proowner), proacl::text, depth
    FROM named JOIN pg_proc ON class = 'pg_proc'::regclass AND oid = object
    ORDER BY depth
    """
GRANTS = """
    SELECT format('GRANT %%s ON %%s TO %%s', privilege_type, %s,
        CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END)
    FROM aclexplode(%s::aclitem[])
    """


class Dependent(NamedTuple):
    """A view or function, with what its definition does not say: its owner and its rights."""

    kind: str  # VIEW or FUNCTION
    name: str
    definition: str
    owner: str
    rights: str | None
    depth: int


def drop_dependents(cursor: CursorWrapper, table: str) -> list[Dependent]:
    """Drop the views and functions that read a table. Return them for `create_again`."""
    cursor.execute(FIND, [table])
    dependents = [Dependent(*row) for row in cursor]
    for dependent in reversed(dependents):
        cursor.execute(f"DROP {dependent.kind} {dependent.name}")
    return dependents


def create_again(cursor: CursorWrapper, dependents: list[Dependent]) -> None:
    for dependent in dependents:
        cursor.execute(dependent.definition)
        cursor.execute(f'ALTER {dependent.kind} {dependent.name} OWNER TO "{dependent.owner}"')
        on_what = dependent.name if dependent.kind == "VIEW" else f"FUNCTION {dependent.name}"
        cursor.execute(GRANTS, [on_what, dependent.rights])
        for (grant,) in cursor.fetchall():
            cursor.execute(grant)
