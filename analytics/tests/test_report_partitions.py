"""A report on one month reads the sales of that month only."""

import datetime

import pytest
from django.conf import settings

from analytics.definitions.reports import get_report
from analytics.running.query import Query
from analytics.tests.helpers import record, sale
from sales.tests.helpers import make_months_anew

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

MONTHS = [datetime.date(2021, month, 1) for month in (1, 2, 3)]
FEBRUARY = {"start": "2021-02-01", "end": "2021-02-28", "first_day": "2021-02-01", "weeks": "2"}
# To tell which buyers are new, they read the whole history, whatever the period.
HISTORICAL = {"buyer_cohorts", "new_and_returning_buyers"}
TOTALED = {"country_contribution", "top_country_relationships", "daily_category_revenue"}


def read_tables(plan):
    """Return the tables that a plan read. PostgreSQL leaves out of the plan what it did not need to plan."""
    tables = {plan["Relation Name"]} if "Relation Name" in plan and plan["Actual Loops"] else set()
    return tables.union(*(read_tables(child) for child in plan.get("Plans", ())))


def read_months(name):
    """Run a report on February as the runner does, and return the partitions that it read."""
    report = get_report(name)
    query = Query(report, report.parse({key: FEBRUARY[key] for key in FEBRUARY if key in report.parameters}))
    with query.transaction():
        [([explained],)] = query.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {query.select()}")
    return {table for table in read_tables(explained["Plan"]) if table.startswith("sales")}


@pytest.mark.parametrize("name", sorted({path.stem for path in settings.SQL_DIR.glob("*.sql")} - HISTORICAL))
def test_a_report_on_one_month_reads_no_other_month(name):
    make_months_anew(MONTHS)
    record(*(sale("1", paid=f"{month:%Y-%m}-{day}") for month in MONTHS for day in ("05", "20")))

    assert read_months(name) == (set() if name in TOTALED else {"sales_2021_02"})
