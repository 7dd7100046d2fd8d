"""Which results are the same as long as the data are, and which data those are: what ETags are made of.

The data that count are sales, which are only ever added, and countries. Totals and journals are sums of sales: folding
moves figures between them, and what adds up both is the same before and after.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.db import connections

from analytics.definitions.parameters import Value
from analytics.definitions.statements import VOLATILE_TEXT
from countries.loading import fingerprint
from countries.models import Country
from sales.models import CountryDailyTotal, DailyTotal, JournalEntry, Sale, Total
from sales.totals.feedback import Watermark

TABLES = {Sale._meta.db_table, Country._meta.db_table}
COUNTRY_JOURNAL = "country_sales_in_journal"  # a function (sales/migrations/0007_country_totals.py)
SUMS = (
    {Total._meta.db_table, JournalEntry._meta.db_table},
    {DailyTotal._meta.db_table, JournalEntry._meta.db_table},
    {CountryDailyTotal._meta.db_table, COUNTRY_JOURNAL},
)
# A random sample, and what is done where the plan does not show it.
OPAQUE_NODES = {"Sample Scan", "Custom Scan", "Foreign Scan", "Table Function Scan"}
FUNCTION = re.compile(r'\b(\w++)"?\(')  # in a time that grows no faster than the plan, which has parameters in it
# These are not immutable for PostgreSQL since they heed settings, such as the time zone; ours are always the same.
# fmt: off
STEADY_FUNCTIONS = [
    "array_to_json", "array_to_string", "concat", "concat_ws", "date", "date_add", "date_part", "date_subtract",
    "date_trunc", "extract", "format", "generate_series", "json_agg", "json_agg_strict", "json_build_array",
    "json_build_object", "json_object_agg", "jsonb_agg", "jsonb_agg_strict", "jsonb_build_array",
    "jsonb_build_object", "jsonb_object_agg", "length", "overlaps", "quote_literal", "row_to_json", "time",
    "timestamp", "timestamptz", "timezone", "to_char", "to_date", "to_json", "to_jsonb", "to_number",
    "to_timestamp",
]
# fmt: on


def data_version(watermark: Watermark, using: str) -> str:
    """What changes when sales or countries do; in a transaction that shows one snapshot, of that of the watermark."""
    return f"{watermark.sales} {watermark.received_at} {fingerprint(using)}"


def may_move(values: Iterable[Value]) -> bool:
    """Whether a value may be taken for a moment told from now, such as the text "today"."""
    return any(isinstance(value, str) and VOLATILE_TEXT.search(value) for value in values)


def depends_on_data_only(plan: Mapping[str, Any], using: str) -> bool:
    """Whether the query with this plan (EXPLAIN VERBOSE, as JSON) reads nothing else than TABLES, and SUMS as a whole.

    Functions count, too: each that the plan names must always have the same result for the same arguments.
    """
    if VOLATILE_TEXT.search(str(plan)):  # put together from pieces, and not yet a date or a time
        return False
    nodes = list(_nodes(plan))
    if any(node["Node Type"] in OPAQUE_NODES for node in nodes):
        return False
    read = {node.get("Relation Name") or node.get("Function Name") for node in nodes}
    sums = read & set().union(*SUMS)
    if {node["Relation Name"] for node in nodes if "Relation Name" in node} - TABLES - sums:
        return False
    if sums != set().union(*(both for both in SUMS if both <= sums)):
        return False
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_proc WHERE proname = ANY(%s) AND provolatile <> 'i' AND proname <> ALL(%s))",
            [FUNCTION.findall(str(plan)), [*STEADY_FUNCTIONS, COUNTRY_JOURNAL]],
        )
        [has_moving_function] = cursor.fetchone()
    return not has_moving_function


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)
