"""The data that a report depends on: what its header declares, what its plan reads, and their version.

Sales are only added, so their watermark is their version. The totals and the journals are sums of sales: folding moves
figures from a journal to a total, and what adds up both stays the same.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from analytics.definitions.parameters import BoundParameters
from analytics.definitions.reports import ReportDefinition
from analytics.definitions.statements import VOLATILE_TEXT
from countries.models import Country
from countries.services import fingerprint
from sales.models import CountryDailyTotal, DailyTotal, JournalEntry, Sale, Total
from sales.totals.feedback import Watermark

SOURCES = {"sales": Sale._meta.db_table, "country": Country._meta.db_table}
# Each total counts as sales together with its journal. The journal of countries is read through this function
# (sales/migrations/0007_country_totals.py).
COUNTRY_JOURNAL = "country_sales_in_journal"
TOTALS = (
    {Total._meta.db_table, JournalEntry._meta.db_table},
    {DailyTotal._meta.db_table, JournalEntry._meta.db_table},
    {CountryDailyTotal._meta.db_table, COUNTRY_JOURNAL},
)


def data_version(report: ReportDefinition, bound: BoundParameters, watermark: Watermark, using: str) -> str | None:
    """Return a text that changes when the data change that the report declares in `depends_on`.

    Call it in the transaction that the watermark was read in. Return None without a declaration, or if the result may
    depend on the time or on chance, for example because PostgreSQL reads the text "today" as a date.
    """
    depends_on = report.header.depends_on
    if not depends_on or report.is_volatile or _has_volatile_text(bound):
        return None
    parts = [str(watermark)] if "sales" in depends_on else []
    if "country" in depends_on:
        parts.append(fingerprint(using))
    return " ".join(parts)


def _has_volatile_text(bound: BoundParameters) -> bool:
    return any(isinstance(value, str) and VOLATILE_TEXT.search(value) for value in bound.values.values())


def undeclared_relations(report: ReportDefinition, relations: set[str]) -> set[str]:
    """Return those of the tables in a report's plan that `depends_on` does not cover."""
    depends_on = report.header.depends_on
    covered = {table for source, table in SOURCES.items() if source in depends_on}
    if "sales" in depends_on:
        covered = covered.union(*(total for total in TOTALS if total <= relations))
    return relations - covered


def get_relations(plan: Mapping[str, Any]) -> set[str]:
    """Return the tables that a plan reads (EXPLAIN, FORMAT JSON), and the function that reads a journal."""
    names = {name for node in _nodes(plan) if (name := node.get("Relation Name"))}
    return names | {COUNTRY_JOURNAL for node in _nodes(plan) if node.get("Function Name") == COUNTRY_JOURNAL}


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
