"""Rows have the order that a report's header declares, whatever is selected from the report."""

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from analytics.definitions.reports import load_reports
from analytics.definitions.statements import is_ordered
from analytics.running.rows import RowRange
from analytics.running.runner import explain, run
from salesengine import distribution

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

SQL = "SELECT n, n % 3 AS rest FROM generate_series(1, 9) AS n"
IN_ORDER = 'order = "rest DESC, n % 2, n"\n'  # with a percent sign, which psycopg must not read


def rows_of(report, **row_range):
    with run(report, report.parse({}), row_range=RowRange(**row_range)) as result:
        return [tuple(row) for row in result.rows]


def test_rows_have_the_order_of_the_header(write_report):
    report = write_report(SQL, header=IN_ORDER)

    assert rows_of(report, limit=4) == [(2, 2), (8, 2), (5, 2), (4, 1)]
    assert rows_of(report, limit=2, offset=3) == [(4, 1), (1, 1)]


def test_csv_has_the_order_of_the_header(write_report):
    sql = "SELECT date '2021-01-01' + n AS day FROM generate_series(1, 3) AS n"
    report = write_report(sql, header='order = "day DESC"\n')

    with run(report, report.parse({})) as result:
        assert b"".join(result.copy_csv()) == b"2021-01-04\n2021-01-03\n2021-01-02\n"


def test_rows_that_are_equal_in_the_sorted_column_keep_the_order_of_the_header(write_report):
    report = write_report(SQL, header='order = "n DESC"\n')

    assert rows_of(report, sort="rest", limit=4) == [(9, 0), (6, 0), (3, 0), (7, 1)]


def test_the_plan_of_a_report_sorts_too(write_report):
    report = write_report(SQL, header=IN_ORDER)

    assert "Sort Key" in explain(report, report.parse({}))


def test_an_order_by_in_the_sql_alone_is_an_error(write_report):
    report = write_report(f"{SQL} ORDER BY n")

    with pytest.raises(SystemCheckError, match=rf"{report.path}:5: \(analytics.E005\) the order of the rows can get"):
        call_command("check")

    write_report(f"{SQL} ORDER BY n LIMIT 3", header=IN_ORDER)
    call_command("check")


def test_an_order_by_an_unknown_column_is_an_error(write_report):
    write_report(SQL, header='order = "nothing"\n')

    with pytest.raises(SystemCheckError, match=r"\(analytics.E002\) column \"nothing\" does not exist"):
        call_command("check")


def test_no_report_of_the_project_sorts_only_in_its_sql():
    assert [report.name for report in load_reports() if is_ordered(report.sql)] == ["top_brands"]
    assert [report.name for report in load_reports() if not report.header.order] == ["repeat_buyer_revenue"]


@pytest.mark.parametrize(("is_cluster", "expected"), [(True, False), (False, True)])
def test_parts_are_collected_on_plain_postgresql_only(write_report, monkeypatch, is_cluster, expected):
    monkeypatch.setattr(distribution, "_answers", {"reports": is_cluster})
    report = write_report("WITH a AS MATERIALIZED (SELECT id FROM sales) SELECT id FROM a")

    assert ("CTE Scan" in explain(report, report.parse({}))) is expected
