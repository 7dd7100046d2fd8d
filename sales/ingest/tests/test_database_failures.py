"""What a client is told when the database fails: the same for one event, for a few and for many."""

from contextlib import contextmanager

import pytest
from django.db import connection

from sales.models import Sale
from salesengine.tests.clients import post, problem_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "singles"])


@contextmanager
def failing(sqlstate):
    """Let each write to `sales` fail with this SQLSTATE."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql"
            f" AS 'BEGIN RAISE ''a secret'' USING ERRCODE = ''{sqlstate}''; END'"
        )
        cursor.execute("CREATE TRIGGER fail BEFORE INSERT ON sales EXECUTE FUNCTION fail()")
        try:
            yield
        finally:
            cursor.execute("DROP FUNCTION fail CASCADE")


def bodies(event):
    return [event, [event] * 3, [event] * 300, event | {"EVENT_ID": "1"}]


@pytest.mark.parametrize("sqlstate", ["53100", "53200", "58030", "25006", "40001", "40P01", "55P03", "57014"])
def test_a_failure_that_passes_is_503_and_nothing_is_stored(api, event, sqlstate, caplog):
    with failing(sqlstate):
        for body in bodies(event):
            response = post(api, body)

            assert "Nothing was stored" in problem_of(response, 503, "database-unavailable")["detail"]
            assert response["Retry-After"] == "5"
    assert "a secret" in caplog.text
    assert not Sale.objects.exists()


@pytest.mark.parametrize("sqlstate", ["22003", "22021", "23514", "54000", "XX000"])
def test_any_other_failure_is_logged_and_no_fault_of_the_client(api, event, sqlstate, caplog):
    with failing(sqlstate):
        for body in bodies(event):
            problem_of(post(api, body), 500, "internal-error")
    assert "a secret" in caplog.text


def test_used_up_ids_are_a_matter_for_the_operator(api, event, caplog):
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval('sales_id_seq', nextval('sales_id_seq'))")
        last = cursor.fetchone()[0]
        cursor.execute(f"ALTER SEQUENCE sales_id_seq MAXVALUE {last}")
        try:
            for body in bodies(event):
                problem_of(post(api, body), 503, "database-unavailable")
        finally:
            cursor.execute("ALTER SEQUENCE sales_id_seq NO MAXVALUE")
    assert 'sequence "sales_id_seq"' in caplog.text
    assert "give the sequence a higher MAXVALUE (ALTER SEQUENCE)" in caplog.text
    assert post(api, event).status_code == 201
