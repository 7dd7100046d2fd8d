"""Warn when a report does not count sales because they are archived."""

import datetime
import re

from analytics.running.data_versions import tables_read
from analytics.running.query import DATABASE_ALIAS, Query
from sales.models import Sale
from sales.totals.archives import archived_months, archived_sentence
from salesengine.distribution import is_distributed

NAMES_SALES = re.compile(rf"\b(FROM|JOIN)\s+{Sale._meta.db_table}\b", re.IGNORECASE)


def archive_warning(query: Query) -> str:
    """Return the sentence about the archived months in the report's period, or "" if there are none.

    Call it inside the query's transaction. A report that reads only totals counts archived sales too.
    """
    months = archived_months(*_period(query), using=DATABASE_ALIAS)
    if not months or not _reads_sales(query):
        return ""
    return f"{archived_sentence(months)}, so this report does not count them."


def _period(query: Query) -> tuple[datetime.date | None, datetime.date | None]:
    """Return the first and the last day that the report reads, None for no limit.

    The last is the parameter `end`. The first is the earliest of the other dates, if the report reads nothing before.
    """
    dates = [name for name, parameter in query.report.parameters.items() if parameter.type == "date"]
    firsts = [query.values[name] for name in dates if name != "end"]
    has_first = firsts and None not in firsts and not query.report.header.reads_earlier_sales
    return min(firsts) if has_first else None, query.values.get("end") if "end" in dates else None


def _reads_sales(query: Query) -> bool:
    if is_distributed(DATABASE_ALIAS):  # a cluster cannot plan for all values
        return bool(NAMES_SALES.search(query.report.sql))
    return Sale._meta.db_table in tables_read(query)
