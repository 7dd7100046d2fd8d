"""What the connections that write set in PostgreSQL."""

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from django.db import OperationalError, ProgrammingError, connection, transaction
from psycopg.pq import TransactionStatus

from salesengine.database import (
    PreparedStatement,
    UnansweredCommit,
    WritingConnection,
    committing,
    is_lost,
    limit_sessions,
)
from salesengine.http.errors import is_database_unavailable
from salesengine.tests.servers import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def role_setting(name, value):
    """Let new sessions of the tests' user start with this setting, as some hosts do."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER ROLE CURRENT_USER SET {name} = {value}")
        try:
            yield
        finally:
            cursor.execute(f"ALTER ROLE CURRENT_USER RESET {name}")


def show(*names):
    """Return settings of a new connection."""
    with WritingConnection.connect(**connection.get_connection_params(), autocommit=True) as new:
        return [new.execute(f"SHOW {name}").fetchone()[0] for name in names]


def test_commits_are_on_disk_even_where_the_host_says_otherwise():
    with role_setting("synchronous_commit", "off"):
        assert show("synchronous_commit") == ["on"]


def test_dates_are_iso_even_where_the_host_says_otherwise():
    with role_setting("datestyle", "'SQL, DMY'"):
        assert show("datestyle") == ["ISO, DMY"]


def test_commands_may_take_as_long_as_they_need():
    assert show("lock_timeout", "statement_timeout") == ["0", "0"]
    assert WritingConnection.answer_limit is None


def test_requests_have_limits(settings, monkeypatch):
    monkeypatch.setattr(WritingConnection, "session", WritingConnection.session)
    monkeypatch.setattr(WritingConnection, "answer_limit", None)
    settings.LOCK_TIMEOUT, settings.STATEMENT_TIMEOUT = 2, 70

    limit_sessions()

    limits = show("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "synchronous_commit")
    assert limits == ["2s", "70s", "15s", "on"]
    assert WritingConnection.answer_limit == 75


def test_a_connection_without_an_answer_is_closed(monkeypatch):
    with WritingConnection.connect(**connection.get_connection_params(), autocommit=True) as new:
        monkeypatch.setattr(WritingConnection, "answer_limit", 0.2)
        with pytest.raises(psycopg.OperationalError, match=r"has not answered for 0\.2 seconds") as raised:
            new.execute("SELECT pg_sleep(5)")

    assert new.closed
    assert is_lost(raised.value)


@pytest.fixture
def closed():
    """Close Django's connection after the test."""
    yield
    connection.close()


def cut(lost):
    """End a connection as a crash of PostgreSQL does: without a message."""
    with socket.socket(fileno=os.dup(lost.fileno())) as same:
        same.shutdown(socket.SHUT_RDWR)


def test_nothing_is_stored_on_a_connection_that_was_lost_before_the_statement(closed):
    with connection.cursor() as cursor:
        cut(connection.connection)
        with pytest.raises(OperationalError) as raised, committing(connection):
            cursor.execute("SELECT 1")

    assert not isinstance(raised.value.__cause__, UnansweredCommit)
    assert is_database_unavailable(raised.value)


def test_nothing_is_stored_on_a_connection_that_was_lost_before_the_commit(closed):
    @transaction.atomic
    def lose_the_connection():
        connection.cursor().execute("SELECT 1")
        cut(connection.connection)

    with pytest.raises(OperationalError) as raised:
        lose_the_connection()

    assert not isinstance(raised.value.__cause__, UnansweredCommit)
    assert is_database_unavailable(raised.value)


def test_nobody_knows_what_is_stored_when_a_connection_is_lost_during_the_statement(closed):
    def cut_when_busy(busy):
        wait_until(lambda: busy.info.transaction_status == TransactionStatus.ACTIVE)
        cut(busy)

    with ThreadPoolExecutor(1) as pool, connection.cursor() as cursor:
        pool.submit(cut_when_busy, connection.connection)
        with pytest.raises(OperationalError) as raised, committing(connection):
            cursor.execute("SELECT pg_sleep(3)")

    assert isinstance(raised.value.__cause__, UnansweredCommit)


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (psycopg.OperationalError("server closed the connection unexpectedly"), True),
        (psycopg.DatabaseError("no SQLSTATE"), True),
        (psycopg.errors.ProtocolViolation("server conn crashed?"), True),  # PgBouncer
        (psycopg.errors.AdminShutdown(), False),
        (psycopg.errors.QueryCanceled(), False),
        (psycopg.DataError("cannot contain NUL"), False),
        (ValueError(), False),
        (None, False),
    ],
)
def test_a_connection_is_lost_unless_postgresql_says_what_went_wrong(error, lost):
    assert is_lost(error) is lost


def test_a_statement_that_cannot_be_prepared_closes_its_connection():
    """PostgreSQL may have prepared it nevertheless: for example, if it was cancelled at the end."""
    statement = PreparedStatement("one", "bigint", "SELECT $1")
    with connection.cursor() as cursor:
        cursor.execute("PREPARE one AS SELECT 2")
        with pytest.raises(ProgrammingError, match="already exists"):
            statement.prepare(cursor)
    assert connection.connection.closed
    connection.close()

    statement = PreparedStatement("one", "bigint", "SELECT $1 + 1")
    with connection.cursor() as cursor:
        statement.prepare(cursor)
        cursor.execute(statement.call, [1])
        assert cursor.fetchone() == (2,)
