"""The log names the statements that take long, without their values."""

import pytest
from django.db import connection

from salesengine.postgresql.slow_queries import log_if_slow

pytestmark = pytest.mark.django_db


@pytest.fixture
def cursor(settings):
    settings.SLOW_SECONDS = 0.02
    with connection.execute_wrapper(log_if_slow), connection.cursor() as cursor:
        yield cursor


def test_a_slow_statement_is_logged_without_its_values(cursor, caplog):
    cursor.execute("SELECT pg_sleep(0.03),\n    %s", ["secret"])

    [record] = caplog.records
    assert (record.levelname, record.statement) == ("WARNING", "SELECT pg_sleep(0.03), %s")
    assert record.ms >= 20
    assert record.getMessage() == f"slow: {record.ms} ms, {record.statement}"


def test_a_slow_statement_that_fails_is_logged(cursor, caplog):
    with pytest.raises(Exception, match="division by zero"):
        cursor.execute("SELECT 1 / length(pg_sleep(0.03)::text)")

    assert [record.statement for record in caplog.records] == ["SELECT 1 / length(pg_sleep(0.03)::text)"]


def test_a_quick_statement_is_not_logged(cursor, settings, caplog):
    settings.SLOW_SECONDS = 60
    cursor.execute("SELECT 1")

    assert not caplog.records


def test_slow_statements_are_not_logged_if_the_limit_is_0(cursor, settings, caplog):
    settings.SLOW_SECONDS = 0
    cursor.execute("SELECT pg_sleep(0.01)")

    assert not caplog.records
