"""Warn when a report does not count sales because they are archived."""

import datetime
from collections.abc import Mapping
from typing import Any

from analytics.running.query import DATABASE_ALIAS, Query
from sales.models import Sale
from sales.totals.archives import archived_months, archived_sentence


def archive_warning(query: Query) -> str:
    """Return the sentence about the archived months in the report's period, or "" if there are none.

    Call it inside the query's transaction. A report that reads only totals counts archived sales too.
    """
    months = archived_months(*_period(query), using=DATABASE_ALIAS)
    if not months or not _reads_sales(query.generic_plan("*")):
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


def _reads_sales(plan: Mapping[str, Any]) -> bool:
    """Return whether a plan reads `sales`, or one of its partitions, whose names begin like it."""
    reads_sales = str(plan.get("Relation Name", "")).startswith(Sale._meta.db_table)
    return reads_sales or any(map(_reads_sales, plan.get("Plans", ())))
