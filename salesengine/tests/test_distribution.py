"""The service knows whether its tables are distributed over several nodes."""

import pytest
from django.db import connection

from salesengine import distribution

pytestmark = pytest.mark.django_db

# The columns of Citus's catalog that matter. A superuser may create it; the test's transaction takes it back.
CATALOG = """
    SET LOCAL allow_system_table_mods = on;
    CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid regclass, partmethod "char")
    """


@pytest.fixture(autouse=True)
def not_asked(monkeypatch):
    monkeypatch.setattr(distribution, "_answers", {})


def test_plain_postgresql_is_not_distributed():
    assert not distribution.is_distributed("default")


@pytest.mark.parametrize(("method", "expected"), [("h", True), ("n", False)])
def test_a_cluster_is_distributed_once_a_table_is_distributed_by_a_column(method, expected):
    with connection.cursor() as cursor:
        cursor.execute(CATALOG)
        cursor.execute("INSERT INTO pg_catalog.pg_dist_partition VALUES ('sales', %s)", [method])

    assert distribution.is_distributed("default") is expected


def test_the_database_is_asked_once(django_assert_num_queries):
    distribution.is_distributed("default")

    with django_assert_num_queries(0):
        distribution.is_distributed("default")
