"""The runner streams exact rows, refuses to write, and ends what takes too long."""

import time
from datetime import UTC, datetime
from decimal import Decimal

import psutil
import pytest
from django.db import connection, connections

from analytics.running.errors import ReportFailed, TimedOut
from analytics.running.rows import RowRange
from analytics.running.runner import explain, run
from analytics.running.tests.statements import WRITES
from countries.models import Country

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])


@pytest.fixture
def country() -> Country:
    return Country.objects.create(id_country="170", country_name="France")


def run_report(report, **options):
    return run(report, report.parse({}), **options)


def rows_of(report):
    with run_report(report) as result:
        return list(result.rows)


def test_a_result_has_columns_and_rows(write_report):
    with run_report(write_report("SELECT 'a' AS letter, 1 AS number UNION ALL SELECT NULL, 2")) as result:
        assert [(column.name, column.is_number) for column in result.columns] == [("letter", False), ("number", True)]
        assert list(result.rows) == [("a", 1), (None, 2)]


def test_numbers_are_exact_and_timestamps_have_a_time_zone(write_report):
    sql = "SELECT 0.1::numeric + 1e-20::numeric AS exact, TIMESTAMPTZ '2021-01-07 01:09:24+01' AS moment"
    assert rows_of(write_report(sql)) == [
        (Decimal("0.10000000000000000001"), datetime(2021, 1, 7, 0, 9, 24, tzinfo=UTC))
    ]


def test_a_result_without_rows_has_its_columns(write_report):
    with run_report(write_report("SELECT 1 AS one WHERE false")) as result:
        assert [column.name for column in result.columns] == ["one"]
        assert list(result.rows) == []


def test_percent_signs_stay_unchanged(write_report):
    assert rows_of(write_report("SELECT '100 %' AS a, '%s %(name)s' AS b, 'abc' LIKE '%b%' AS c")) == [
        ("100 %", "%s %(name)s", True)
    ]


def test_a_semicolon_and_a_comment_may_end_the_sql(write_report):
    assert rows_of(write_report("SELECT 1 AS one; -- done")) == [(1,)]


def test_all_of_many_rows_are_returned(write_report):
    assert rows_of(write_report("SELECT generate_series(1, 10000) AS n")) == [(n,) for n in range(1, 10_001)]


@pytest.mark.parametrize("sql", WRITES.values(), ids=WRITES)
def test_postgresql_refuses_to_write(write_report, country, sql):
    with pytest.raises(ReportFailed):
        rows_of(write_report(sql))
    assert list(Country.objects.values_list("id_country", "country_name")) == [("170", "France")]


def test_the_transaction_is_read_only_however_the_connection_was_set_up(write_report):
    with connections["reports"].cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = off")  # as behind a pooler that drops connection options
    assert rows_of(write_report("SELECT current_setting('transaction_read_only') AS read_only")) == [("on",)]


def test_a_statement_that_writes_is_refused_with_a_hint(write_report):
    with pytest.raises(ReportFailed, match="A report must be one SELECT"):
        rows_of(write_report("DELETE FROM country"))


def test_an_error_in_the_sql_has_its_line_in_the_file(write_report):
    with pytest.raises(ReportFailed, match=r'^probe\.sql: column "nope" does not exist\nLINE 6: +nope\n'):
        rows_of(write_report("SELECT\n    nope\nFROM country"))


def test_an_error_in_the_sql_is_raised_before_the_body_begins(write_report):
    with pytest.raises(ReportFailed, match="division by zero"), run_report(write_report("SELECT 1 / 0 AS x")):
        pytest.fail("the body ran")


def test_an_error_in_a_later_row_is_raised_while_rows_are_read(write_report):
    read = []
    with (
        pytest.raises(ReportFailed, match="division by zero"),
        run_report(write_report("SELECT 1 / (5000 - n) AS x FROM generate_series(1, 9000) AS n")) as result,
    ):
        read.extend(result.rows)
    assert 0 < len(read) < 5000


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("'infinity'::timestamptz", "timestamp too large"),
        ("'0044-03-15 12:00 BC'::timestamptz", "timestamp too small"),
        ("'20000-01-01'::date", "date too large"),
        ("'-infinity'::date", "date too small"),
    ],
)
def test_a_year_without_four_digits_fails_in_every_format(write_report, value, message):
    report = write_report(f"SELECT {value} AS moment")
    with pytest.raises(ReportFailed, match=message):
        rows_of(report)
    with run_report(report) as result, pytest.raises(ReportFailed, match="not in the years 1 to 9999"):
        list(result.copy_csv())


def test_csv_has_the_first_and_the_last_possible_dates(write_report):
    report = write_report(
        "SELECT '0001-01-01'::timestamptz AS a, '9999-12-31 23:59:59.5'::timestamptz AS b, date '0001-01-01' AS c, "
        "date '9999-12-31' AS d, NULL::date AS e, NULL::timestamptz AS f"
    )
    with run_report(report) as result:
        assert b"".join(result.copy_csv()) == b"0001-01-01T00:00:00Z,9999-12-31T23:59:59.5Z,0001-01-01,9999-12-31,,\n"


def test_an_interval_is_iso_8601_text(write_report):
    report = write_report("SELECT interval '1 month 2 days' AS a, interval '-3 hours' AS b, NULL::interval AS c")
    assert rows_of(report) == [("P1M2D", "PT-3H", None)]


def test_a_slow_report_is_ended(write_report, settings):
    settings.REPORTS_TIMEOUT = 0.2
    began = time.monotonic()
    with pytest.raises(ReportFailed, match=r"statement timeout\. The limit is 0\.2 seconds"):
        rows_of(write_report("SELECT pg_sleep(30) AS nap"))
    assert time.monotonic() - began < 20


def test_a_report_with_slow_rows_is_ended(settings, write_report):
    settings.REPORTS_TIMEOUT = 0.5
    report = write_report(
        "SELECT CASE WHEN n % 2000 = 0 THEN pg_sleep(0.3)::text END FROM generate_series(1, 100000) AS n"
    )

    with pytest.raises(ReportFailed, match="statement timeout"), run_report(report) as result:
        list(result.rows)


def test_the_default_timeout_is_a_setting(write_report, settings):
    settings.REPORTS_TIMEOUT = 17
    assert rows_of(write_report("SELECT current_setting('statement_timeout') AS limit")) == [("17s",)]


def test_a_timeout_beyond_the_limit_of_postgresql_is_cut(write_report):
    assert rows_of(write_report("SELECT 1 AS one", header='timeout = "99999w"\n')) == [(1,)]


def test_duplicate_column_names_are_refused(write_report):
    with pytest.raises(ReportFailed, match=r"more than one column has the name a\. Use AS"):
        rows_of(write_report("SELECT 1 AS a, 2 AS b, 3 AS a"))


def test_a_select_without_columns_is_refused(write_report):
    with pytest.raises(ReportFailed, match="the SELECT has no columns"):
        rows_of(write_report("SELECT"))


def test_a_report_runs_after_a_failed_one(write_report):
    with pytest.raises(ReportFailed):
        rows_of(write_report("SELECT 1 / 0 AS x"))
    assert rows_of(write_report("SELECT 1 AS one")) == [(1,)]


def test_each_run_has_a_new_snapshot(write_report):
    report = write_report("SELECT COUNT(*) AS countries FROM country")
    assert rows_of(report) == [(0,)]
    Country.objects.create(id_country="170", country_name="France")
    assert rows_of(report) == [(1,)]


def test_the_first_of_a_billion_rows_is_streamed_immediately(write_report):
    began = time.monotonic()
    with run_report(write_report("SELECT generate_series(1, 1000000000) AS n")) as result:
        assert next(result.rows) == (1,)
    assert time.monotonic() - began < 20


def test_rows_are_not_all_in_memory(write_report):
    memory = psutil.Process().memory_info
    with run_report(write_report("SELECT repeat('x', 10000) AS text FROM generate_series(1, 30000)")) as result:
        next(result.rows)
        before, size = memory().rss, 0
        for (text,) in result.rows:
            size += len(text)
    assert size > 250_000_000
    assert memory().rss - before < 100_000_000


def test_leaving_early_ends_the_query_and_the_transaction(write_report):
    with run_report(write_report("SELECT generate_series(1, 1000000000) AS n")) as result:
        next(result.rows)
    with connection.cursor() as cursor:
        cursor.execute("SELECT state FROM pg_stat_activity WHERE application_name = 'salesengine reports'")
        assert {state for (state,) in cursor} <= {"idle"}


def test_a_slow_reader_is_ended_at_the_timeout(settings, write_report):
    settings.REPORTS_TIMEOUT = 0.5  # the connection ends a second later
    report = write_report("SELECT repeat('x', 10000) AS text FROM generate_series(1, 100000) AS n")

    def read_slowly():
        with run_report(report) as result:
            next(result.rows)
            time.sleep(2)
            list(result.rows)

    with pytest.raises(TimedOut, match=r"The limit is 0\.5 seconds"):
        read_slowly()


def test_rows_keep_the_order_of_the_report(write_report):
    rows = rows_of(write_report("SELECT n, n % 7 AS rest FROM generate_series(1, 5000) AS n ORDER BY rest, n DESC"))
    assert rows == sorted(rows, key=lambda row: (row[1], -row[0]))


def test_sorting_is_over_all_rows_with_nulls_last(write_report):
    report = write_report('SELECT NULLIF(n, 3) AS "a ""%s" FROM generate_series(1, 5) AS n ORDER BY n')
    for row_range, expected in [
        (RowRange(sort='a "%s', descending=True), [5, 4, 2, 1, None]),
        (RowRange(sort='a "%s', limit=2, offset=1), [2, 4]),
        (RowRange(limit=3), [1, 2, None]),
    ]:
        with run_report(report, row_range=row_range) as result:
            assert [n for (n,) in result.rows] == expected
            assert result.is_truncated == (row_range.limit is not None)


def test_parallel_plans_are_possible(write_report):
    report = write_report("SELECT COUNT(*) AS sales FROM sales")
    with connections["reports"].cursor() as cursor:
        cursor.execute("SET debug_parallel_query = on")  # parallel wherever possible, however few the rows
    assert "Workers Planned" in explain(report, report.parse({}))
