"""The recorder of statements finds what a cluster refuses or answers differently, and nothing else."""

import pytest
from django.db import connection

from salesengine.tests import cluster_rules

pytestmark = pytest.mark.django_db


@pytest.fixture
def found(monkeypatch):
    """Let statements of this file count as the product's. Return what the recorder finds."""
    monkeypatch.setattr(cluster_rules, "NOT_PRODUCT", cluster_rules.re.compile("(?!)"))
    yield cluster_rules.found
    cluster_rules.found.clear()


def send(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.rowcount


@pytest.mark.parametrize(
    "statement",
    [
        "WITH RECURSIVE found AS (SELECT min(brand) FROM sales) SELECT * FROM found",
        "DELETE FROM idempotency_keys WHERE ctid = '(0,1)'",
        'SELECT id FROM "sales" WHERE id = 1 ORDER BY id FOR UPDATE',
        "SELECT 1 FROM event_ids FOR NO KEY UPDATE",
    ],
)
def test_a_statement_that_a_cluster_refuses_is_found(found, statement):
    send(statement)

    [fault] = found
    assert fault.startswith("salesengine/tests/test_cluster_rules.py:")


@pytest.mark.parametrize(
    "statement",
    ["SELECT id FROM rejected_events FOR UPDATE", "SELECT id FROM sales WHERE brand = 'for updates'"],
)
def test_other_statements_are_not(found, statement):
    send(statement)

    assert not found


def test_nobody_can_use_the_number_of_rows_that_on_conflict_stored():
    insert = "INSERT INTO event_ids (event_id, sender, sale_id, digest) VALUES ('e', 's', 1, '')"

    with pytest.raises(AssertionError, match="use RETURNING"):
        assert send(f"{insert} ON CONFLICT DO NOTHING") == 1
    assert send("SELECT 1") == 1
