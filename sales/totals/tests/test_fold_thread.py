"""Folds run beside requests: a response never waits for a fold, or for a connection that only a fold needs."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest
from django.db import connection, transaction

from sales.ingest.schema import EXAMPLE
from sales.models import Sale
from sales.totals import fold_thread, folding, verification
from sales.totals.tests.helpers import unfolded
from salesengine.tests.clients import post

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "singles"])


@pytest.fixture(autouse=True)
def folded_at_once():
    """Let folds run in their thread, as in the service, and wait for them at the end."""
    executor = fold_thread.executor
    yield
    executor.submit(int).result(timeout=30)


def wait_for_folds():
    fold_thread.executor.submit(int).result(timeout=30)


@pytest.fixture(autouse=True)
def every_sale_requests_folds(monkeypatch):
    monkeypatch.setattr(folding, "FOLD_INTERVAL", 1)


@pytest.mark.parametrize("body", [EXAMPLE, [EXAMPLE], EXAMPLE | {"EVENT_ID": "e-1"}])
def test_a_response_does_not_wait_for_a_fold(api, body):
    def send():
        with closing(connection):
            return post(api, body).status_code

    with ThreadPoolExecutor(1) as client, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE feedback_total, country_total")
        responses = [client.submit(send) for _ in range(3)]
        assert {response.result(timeout=30) for response in responses} <= {200, 201}
        assert unfolded().exists()

    wait_for_folds()
    assert not unfolded().exists()
    assert verification.verify() == []


def test_a_single_event_needs_only_its_own_connection(api, event):
    with ExitStack() as others:
        pool = connection.pool
        for _ in range(pool.max_size - pool.get_stats()["pool_size"] + pool.get_stats()["pool_available"]):
            others.enter_context(pool.connection())

        assert post(api, event).status_code == 201

    assert Sale.objects.count() == 1


def test_a_process_that_is_ending_stores_sales_without_folding_them(api, event, monkeypatch):
    ended = ThreadPoolExecutor(1)
    ended.shutdown()
    monkeypatch.setattr(fold_thread, "executor", ended)
    monkeypatch.setattr(fold_thread, "_requested", set())

    assert post(api, event).status_code == 201


def test_a_fold_that_could_not_start_runs_when_it_is_requested_again(api, event, monkeypatch):
    ended = ThreadPoolExecutor(1)
    ended.shutdown()
    with monkeypatch.context() as context:
        context.setattr(fold_thread, "executor", ended)
        post(api, event)
    assert unfolded().exists()

    post(api, event)
    wait_for_folds()
    assert not unfolded().exists()


def test_a_fold_that_the_database_stops_is_logged_in_one_line(caplog):
    def stopped_fold():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '1ms'")
            cursor.execute("SELECT pg_sleep(5)")

    fold_thread.request_fold(stopped_fold)
    wait_for_folds()

    [record] = caplog.records
    assert "statement timeout" in record.getMessage()
    assert not record.exc_info


def test_a_fold_that_fails_by_itself_is_logged_with_its_traceback(caplog):
    fold_thread.request_fold(lambda: 1 // 0)
    wait_for_folds()

    [record] = caplog.records
    assert record.exc_info
