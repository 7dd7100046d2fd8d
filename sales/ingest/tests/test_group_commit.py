"""Concurrent callers share one write, and each gets its own result."""

import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import pytest
from django.db import DataError, OperationalError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from sales.ingest import service
from sales.ingest.group_commit import GroupCommit
from sales.models import Sale
from sales.tests.helpers import sale_event
from sales.totals.ledger import NO_ORIGIN
from salesengine.http.errors import DatabaseUnavailable, OutcomeUnknown
from salesengine.tests.clients import post


class Writer:
    """A slow write that records its groups; `error_for` returns the error that a group fails with."""

    def __init__(self, error_for=lambda items: None):
        self.groups = []
        self.error_for = error_for
        self.running = 0

    def __call__(self, items):
        self.running += 1
        assert self.running == 1 or len(items) == 1, "two groups were written at the same time"
        time.sleep(0.02)
        self.groups.append(list(items))
        self.running -= 1
        if error := self.error_for(items):
            raise error
        return [item * 10 for item in items]


def submit_all(group_commit, items):
    """Submit all items at the same time; return the result or error of each."""
    start = threading.Barrier(len(items))

    def submit(item):
        start.wait()
        try:
            return group_commit.submit(item)
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(items)) as pool:
        return list(pool.map(submit, items))


def test_each_caller_gets_its_own_result_from_a_few_writes():
    write = Writer()

    assert submit_all(GroupCommit(write, max_group_size=100, max_wait=30), range(30)) == [
        item * 10 for item in range(30)
    ]
    assert sorted(item for group in write.groups for item in group) == list(range(30))
    assert len(write.groups) <= 6


def test_a_caller_alone_does_not_wait_for_others():
    write = Writer()
    group_commit = GroupCommit(write, max_group_size=100, max_wait=30)

    assert [group_commit.submit(item) for item in (1, 2)] == [10, 20]
    assert write.groups == [[1], [2]]


def test_after_a_shared_write_the_next_one_waits_for_more_callers():
    write, pauses = Writer(), []
    group_commit = GroupCommit(write, max_group_size=100, max_wait=30, pause=lambda: pauses.append(0.2) or 0.2)

    group_commit.submit(0)
    group_commit.submit(0)
    assert pauses == []
    submit_all(group_commit, range(8))
    while len(write.groups[-1]) == 1:
        submit_all(group_commit, range(8))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(group_commit.submit, 1)
        time.sleep(0.05)
        second = pool.submit(group_commit.submit, 2)
        assert (first.result(), second.result()) == (10, 20)
    assert write.groups[-1] == [1, 2]


def test_a_group_has_a_maximum_size():
    write = Writer()

    assert submit_all(GroupCommit(write, max_group_size=4, max_wait=30), range(30)) == [item * 10 for item in range(30)]
    assert max(map(len, write.groups)) == 4


def test_an_item_that_the_database_refuses_does_not_fail_the_others():
    write = Writer(error_for=lambda items: DataError("bad") if 13 in items else None)

    results = submit_all(GroupCommit(write, max_group_size=100, max_wait=30), range(30))

    assert isinstance(results.pop(13), DataError)
    assert results == [item * 10 for item in range(30) if item != 13]


def test_an_item_that_may_be_stored_is_never_written_again():
    write = Writer(error_for=lambda items: OperationalError("the connection was lost"))

    results = submit_all(GroupCommit(write, max_group_size=100, max_wait=30), range(30))

    assert all(isinstance(result, OperationalError) for result in results)
    assert sorted(item for group in write.groups for item in group) == list(range(30))


def test_writes_continue_after_a_failure():
    write = Writer(error_for=lambda items: OperationalError("unavailable") if 1 in items else None)
    group_commit = GroupCommit(write, max_group_size=100, max_wait=30)

    with pytest.raises(OperationalError):
        group_commit.submit(1)
    assert group_commit.submit(2) == 20


class StuckWriter(Writer):
    """A write that does not return before `proceed` is released once for each group."""

    def __init__(self):
        super().__init__()
        self.started, self.proceed = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, items):
        self.started.release()
        assert self.proceed.acquire(timeout=60)
        return super().__call__(items)


def test_a_caller_whose_write_has_not_begun_gives_up_and_its_item_is_not_written():
    write = StuckWriter()
    group_commit = GroupCommit(write, max_group_size=100, max_wait=0.05)

    with ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(group_commit.submit, 1)
        write.started.acquire()
        with pytest.raises(DatabaseUnavailable, match="Nothing of this request was stored"):
            group_commit.submit(2)
        write.proceed.release(2)
        assert stuck.result() == 10
        assert group_commit.submit(3) == 30

    assert write.groups == [[1], [3]]


def test_a_caller_whose_item_is_being_written_gives_up_without_knowing_the_outcome():
    write = StuckWriter()
    group_commit = GroupCommit(write, max_group_size=100, max_wait=0.5)

    with ThreadPoolExecutor(3) as pool:
        pool.submit(group_commit.submit, 1)
        write.started.acquire()
        callers = [pool.submit(group_commit.submit, number) for number in (2, 3)]
        while len(group_commit._queue) < 2:
            time.sleep(0.001)
        write.proceed.release()  # one of them now leads, and writes both
        [follower] = wait(callers, return_when=FIRST_COMPLETED).done
        assert isinstance(follower.exception(), OutcomeUnknown)
        write.proceed.release()

    assert sorted(write.groups[1]) == [2, 3]


@pytest.mark.django_db(transaction=True, databases=["default", "singles"])
class TestSingleEvents:
    def test_each_single_event_gets_the_id_of_its_own_sale(self):
        def submit(number):
            try:
                return number, service.singles.submit((sale_event(ID_ORDER=str(number)), NO_ORIGIN))
            finally:
                connection.close()

        with ThreadPoolExecutor(16) as pool:
            ids = dict(pool.map(submit, range(300)))

        assert {int(order): sale_id for sale_id, order in Sale.objects.values_list("id", "id_order")} == ids

    def test_it_is_written_on_a_connection_of_its_own_which_is_given_back(self, api, event):
        assert post(api, event).status_code == 201  # prepares the statement, if no earlier test did
        with CaptureQueriesContext(connections["singles"]) as queries:
            assert post(api, event).status_code == 201

        assert [query["sql"].split(" (")[0] for query in queries] == ["EXECUTE store_few"]
        assert connections["singles"].connection is None
        assert Sale.objects.count() == 2

    def test_each_connection_prepares_its_statement_once(self, api, event):
        for _ in range(2):
            assert post(api, [event, event]).status_code == 201
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%INSERT INTO sales%'")
            assert cursor.fetchone() == (1,)

    def test_a_rollback_leaves_the_statement_prepared(self, api, event):
        connection.close()
        connection.close_pool()  # so that the next connection has not prepared it
        with transaction.atomic():
            assert post(api, [event, event]).status_code == 201
            transaction.set_rollback(True)

        assert post(api, [event, event]).status_code == 201
        assert Sale.objects.count() == 2

    def test_inside_a_transaction_of_the_caller_it_belongs_to_that_transaction(self, api, event):
        with transaction.atomic():
            assert post(api, event).status_code == 201
            assert Sale.objects.count() == 1
            transaction.set_rollback(True)

        assert not Sale.objects.exists()
