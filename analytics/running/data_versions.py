"""The data that a report depends on: what its header declares, what its plan reads, and their version.

Sales are only added and voided, so the number of these changes is their version, together with that of the archived
months. The watermark tells it apart from that of a database that was restored to an earlier time. Totals and unfolded
ledger entries are sums of sales: folding adds entries to the totals, and their sum stays the same.
"""

from collections.abc import Mapping
from typing import Any

from analytics.definitions.parameters import BoundParameters
from analytics.definitions.reports import ReportDefinition
from analytics.definitions.statements import VOLATILE_TEXT
from analytics.running.query import DATABASE_ALIAS, Query
from countries.loading import fingerprint_of_countries
from countries.models import Country
from sales.models import CountryDailyTotal, DailyTotal, LedgerEntry, Sale, Total
from sales.totals.archives import archive_version
from sales.totals.feedback import Watermark
from sales.totals.ledger import change_count
from salesengine.distribution import is_distributed

SOURCES = {"sales": Sale._meta.db_table, "country": Country._meta.db_table}
# Each total counts as sales together with the ledger. The countries of unfolded entries are read through this function
# (sales/migrations/0016_add_ledger.py).
COUNTRY_SALES = "country_sales_in_journal"
TOTALS = (
    {Total._meta.db_table, LedgerEntry._meta.db_table},
    {DailyTotal._meta.db_table, LedgerEntry._meta.db_table},
    {CountryDailyTotal._meta.db_table, COUNTRY_SALES},
)
ROOT_TABLES = """
    SELECT coalesce((SELECT relname FROM pg_class WHERE oid = pg_partition_root(to_regclass(quote_ident(name)))), name)
    FROM unnest(%s::text[]) AS name
    """


def data_version(report: ReportDefinition, bound: BoundParameters, watermark: Watermark) -> str | None:
    """Return a text that changes when the data change that the report declares in `depends_on`.

    Call it in the transaction in which the watermark was read. Return None without a declaration, or if the result may
    depend on the time or on chance, for example because PostgreSQL reads the text "today" as a date. On a cluster, the
    result may lack sales that are part of the version, because no snapshot spans the nodes, so return None there too.
    """
    depends_on = report.header.depends_on
    has_volatile_text = any(isinstance(value, str) and VOLATILE_TEXT.search(value) for value in bound.values.values())
    if not depends_on or report.is_volatile or has_volatile_text or is_distributed(DATABASE_ALIAS):
        return None
    parts = (
        [f"{watermark} {change_count(DATABASE_ALIAS)} {archive_version(DATABASE_ALIAS)}"]
        if "sales" in depends_on
        else []
    )
    if "country" in depends_on:
        parts.append(fingerprint_of_countries(DATABASE_ALIAS))
    return " ".join(parts)


def undeclared_relations(report: ReportDefinition) -> set[str]:
    """Return the tables that the report and its assertions read, except those that `depends_on` covers.

    Plan the report for all values of its parameters, without running it. Raises ReportFailed. A cluster cannot do so,
    and its reports have no versions, so return nothing there.
    """
    if is_distributed(DATABASE_ALIAS):
        return set()
    depends_on = report.header.depends_on
    query = Query(report, BoundParameters({}))
    with query.transaction():
        relations = tables_read(query, "*", query.assertions)
    covered = {table for source, table in SOURCES.items() if source in depends_on}
    if "sales" in depends_on:
        covered = covered.union(*(total for total in TOTALS if total <= relations))
    return relations - covered


def tables_read(query: Query, *selections: str) -> set[str]:
    """Return the tables that a report reads for any values, or those of some selections from it.

    Call it inside the query's transaction. A partition counts as its table.
    """
    plans = [query.generic_plan(selected) for selected in selections or ("*",) if selected]
    with query.cursor() as cursor:
        cursor.execute(ROOT_TABLES, [list(set().union(*map(_relations, plans)))])
        return {name for (name,) in cursor}


def _relations(plan: Mapping[str, Any]) -> set[str]:
    """Return the tables that a plan reads (EXPLAIN, FORMAT JSON), and the function that reads the ledger."""
    names = {plan["Relation Name"]} if "Relation Name" in plan else set()
    if plan.get("Function Name") == COUNTRY_SALES:
        names.add(COUNTRY_SALES)
    return names.union(*map(_relations, plan.get("Plans", ())))
