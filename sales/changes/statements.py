"""The statements that read changes.

Positions have no gaps, so they tell which sales of which entries make up a page.
"""

from collections.abc import Mapping

from django.db import DEFAULT_DB_ALIAS

from sales.ingest.fields import FIELDS
from salesengine.distribution import is_distributed

# Parameters: the page has the positions after `after` up to `end`. The sales of an entry have positions in the order of
# their ids. A part is a run of ids without gaps that belongs to the page; `shift` is what to add to an id for its
# position.
_PARTS = """
    WITH run AS (
        SELECT voided > 0 AS is_void, first_day, last_day, lower(ids) AS first, upper(ids) AS stop,
            position - accepted - voided
            + SUM(upper(ids) - lower(ids)) OVER (PARTITION BY ledger.id ORDER BY ids)::bigint - upper(ids) AS shift
        FROM ledger, unnest(sale_ids) AS ids
        WHERE position > %(after)s AND position <= (SELECT MIN(position) FROM ledger WHERE position >= %(end)s)
    ), part AS (
        SELECT is_void, coalesce(first_day::timestamp AT TIME ZONE INTERVAL '0', '-infinity') AS paid_from,
            coalesce((last_day + 1)::timestamp AT TIME ZONE INTERVAL '0', 'infinity') AS paid_until,
            shift + 1 AS shift, greatest(first, %(after)s - shift) AS first,
            least(stop, %(end)s - shift) AS stop
        FROM run
        WHERE stop + shift > %(after)s AND first + shift < %(end)s
    )
    """
# OFFSET 0 lets PostgreSQL look each part up in the index, instead of comparing every part with every row. The days of
# payment let it pass over the other months.
_JOIN = """part, LATERAL (
    SELECT * FROM {} WHERE id >= part.first AND id < part.stop
        AND date_payment >= paid_from AND date_payment < paid_until
    OFFSET 0
    ) AS sale"""
# A sale that was voided later still has its own position.
_SOLD = [f"{_JOIN.format(table)} WHERE NOT is_void" for table in ("sales", "voided_sale")]
_TAKEN_AWAY = f"{_JOIN.format('voided_sale')} WHERE is_void"
# Of a sale that was archived, only the id is left.
_ARCHIVED = f"""(
    SELECT id, shift FROM part, generate_series(first, stop - 1) AS id WHERE NOT is_void
    {"".join(f" EXCEPT SELECT sale.id, shift FROM {source}" for source in _SOLD)}
    ) AS sale
    WHERE EXISTS (SELECT FROM archived_month WHERE sale.id BETWEEN first_id AND last_id)
    """  # noqa: S608  # names only
# The fields of a change in responses and files, and their types in PostgreSQL. The fields of a sale have the same names
# as in GET /sales.
SALE_FIELDS = {
    "ID": "bigint",
    **{name: field.column_type for name, field in FIELDS.items()},
    "RECEIVED_AT": "timestamptz",
}
VOID_FIELDS = {"voided_at": "timestamptz", "reason": "text", "replaced_by": "bigint"}
CHANGE_FIELDS = {"position": "bigint", "kind": "text"} | SALE_FIELDS | VOID_FIELDS


def _as_in_json(name: str, column_type: str) -> str:
    """Return the expression whose JSON is that of GET /sales: to_json would write +00:00 in place of Z."""
    column = f"sale.{name.lower()}"
    if column_type != "timestamptz":
        return column
    # INTERVAL '0' is UTC, and quicker than its name.
    text = f"""to_char({column} AT TIME ZONE INTERVAL '0', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
    return f"replace({text}, '.000000Z', 'Z')"


def _select(kind: str, columns: Mapping[str, str], source: str) -> str:
    named = ", ".join(f'{expression} AS "{name}"' for name, expression in columns.items())
    return f"SELECT sale.id + shift AS position, '{kind}' AS kind, {named} FROM {source}"  # noqa: S608  # names only


_JSON_OF_SALE = {name: _as_in_json(name, column_type) for name, column_type in SALE_FIELDS.items()}
_JSON_OF_VOID = {name: _as_in_json(name, column_type) for name, column_type in (SALE_FIELDS | VOID_FIELDS).items()}
_JSON = [
    *(_select("sale", _JSON_OF_SALE, source) for source in _SOLD),
    _select("void", _JSON_OF_VOID, _TAKEN_AWAY),
]
_ROW_OF_SALE = {name: f"sale.{name.lower()}" for name in SALE_FIELDS}
_ROW_OF_VOID = {name: f"sale.{name.lower()}" for name in SALE_FIELDS | VOID_FIELDS}
_NO_VOID = {name: f"NULL::{column_type}" for name, column_type in VOID_FIELDS.items()}
_ROWS = [
    *(_select("sale", _ROW_OF_SALE | _NO_VOID, source) for source in _SOLD),
    _select("void", _ROW_OF_VOID, _TAKEN_AWAY),
]
_ARCHIVED_ROW = {name: f"NULL::{column_type}" for name, column_type in SALE_FIELDS.items()} | {"ID": "sale.id"}
_LINE = "SELECT position, row_to_json(change)::text AS line FROM ({}) AS change"
# The number of changes, and their JSON with a separator between them. PostgreSQL writes it. Python would do so as fast,
# but would hold up the other requests of its process.
_READ_JSON = f"""{_PARTS}
    SELECT COUNT(*), coalesce(string_agg(line, %(separator)s ORDER BY position), '') FROM ({{lines}}) AS lines
    """  # noqa: S608  # names only
_READ_ROWS = f"{_PARTS} {{rows}} ORDER BY position"
# The second statement is for a page on which the first one does not find every change. It takes twice as long.
READ_JSON = [
    _READ_JSON.format(lines=" UNION ALL ".join(map(_LINE.format, selected)))
    for selected in (_JSON, [*_JSON, _select("archived", {"ID": "sale.id"}, _ARCHIVED)])
]
READ_ROWS = [
    _READ_ROWS.format(rows=" UNION ALL ".join(selected))
    for selected in (_ROWS, [*_ROWS, _select("archived", _ARCHIVED_ROW | _NO_VOID, _ARCHIVED)])
]
# All true sales that the positions so far include; those of unfolded entries follow as changes. They have no positions
# here. Parameters: the page has the ids after `after`, up to `end`. With a LIMIT in place of `end`, each shard of a
# cluster would send a whole page.
READ_SALES = f"""
    SELECT NULL::bigint AS position, 'sale' AS kind, {", ".join((_ROW_OF_SALE | _NO_VOID).values())}
    FROM sales AS sale
    WHERE id > %(after)s AND id <= %(end)s
        AND NOT id <@ (SELECT coalesce(range_agg(sale_ids), '{{}}') FROM ledger WHERE position IS NULL)
    ORDER BY id
    """  # noqa: S608  # names only


def adapted(statement: str) -> str:
    """Return a statement without its OFFSET on a cluster, which refuses one there, and uses the index without it."""
    return statement.replace("OFFSET 0", "") if is_distributed(DEFAULT_DB_ALIAS) else statement
