"""Write to PostgreSQL: connections and how long they wait, prepared statements, retries after deadlocks, and locks."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ClassVar, NamedTuple, ParamSpec, Self, TypeVar

import psycopg
from django.conf import settings
from django.db import Error, OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg.abc import PQGen
from psycopg.errors import DeadlockDetected, _WaitTimeout  # `Connection.wait` is documented to raise _WaitTimeout

ANSWER_GRACE = 5  # seconds that PostgreSQL has to say that it has cancelled a statement
IDLE_TRANSACTION = 15  # seconds; a request never pauses that long within a transaction
DEADLOCK_RETRIES = 4
RETRY_PAUSE = 0.05  # seconds, doubled after each retry

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


class UnansweredCommit(psycopg.OperationalError):
    """The connection was lost between COMMIT and PostgreSQL's answer, so nobody knows whether it has committed."""


class WritingConnection(psycopg.Connection[Any]):
    """A connection that commits to disk, and in a process that serves requests has limits."""

    # SET instead of `options` in the URL, because PgBouncer refuses most options. Some hosts turn synchronous_commit
    # off, and psycopg reads timestamps only in ISO format.
    session: ClassVar[dict[str, str]] = {
        "synchronous_commit": "on",
        "datestyle": "ISO",
        "idle_in_transaction_session_timeout": "60s",
    }
    answer_limit: ClassVar[float | None] = None  # seconds
    prepared: set[str]  # names of prepared statements

    @classmethod
    def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        connection = super().connect(conninfo, **kwargs)
        try:
            names = ", ".join(["set_config(%s, %s, false)"] * len(cls.session))
            values = [text for setting in cls.session.items() for text in setting]
            connection.execute(f"SELECT {names}", values, prepare=False)
            if not connection.autocommit:
                connection.commit()
        except BaseException:
            connection.close()
            raise
        connection.prepared = set()
        return connection

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for PostgreSQL, up to `answer_limit`. Close the connection if the time is up."""
        try:
            return super().wait(gen, interval, timeout or self.answer_limit)
        except _WaitTimeout:
            self.close()
            raise psycopg.OperationalError(f"PostgreSQL has not answered for {self.answer_limit:g} seconds") from None

    def commit(self) -> None:
        """Commit. Raises UnansweredCommit if the connection is lost before PostgreSQL answers what was sent."""
        self.check_open()
        try:
            super().commit()
        except psycopg.Error as error:
            if not is_lost(error):
                raise
            raise UnansweredCommit(*error.args) from error

    def check_open(self) -> None:
        """Raise OperationalError if this connection is lost already, so that nothing that is sent can be stored.

        Without a check, an error in sending looks like one that comes after PostgreSQL has received everything.
        """
        self.pgconn.consume_input()


class PreparedStatement(NamedTuple):
    """A statement that PostgreSQL parses once per connection. After five executions it may keep the plan too.

    psycopg would also keep the texts of all other statements in memory, and would prepare this one again each time that
    its first execution fails.
    """

    name: str
    types: str  # of its parameters
    sql: str  # with $1 for the first parameter

    def prepare(self, cursor: CursorWrapper) -> None:
        """Prepare the statement on the cursor's connection, unless that is done. A rollback does not undo it."""
        connection = cursor.db.connection
        if self.name in connection.prepared:
            return
        try:
            cursor.execute(f"PREPARE {self.name} ({self.types}) AS {self.sql}")
        except BaseException:
            connection.close()  # PostgreSQL may have it nevertheless, and would refuse to prepare it again
            raise
        connection.prepared.add(self.name)

    @property
    def call(self) -> str:
        """The SQL that executes the statement, once it is prepared."""
        return f"EXECUTE {self.name} ({', '.join(['%s'] * len(self.types.split(',')))})"


def is_lost(error: BaseException | None) -> bool:
    """Return whether the connection broke before PostgreSQL answered, so that nobody knows what it has done.

    Class 08 comes from PgBouncer. After a PANIC, PostgreSQL may find the commit in its log when it starts again.
    """
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate:
        return error.sqlstate.startswith(("08", "40003")) or error.diag.severity_nonlocalized == "PANIC"
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) or type(error) is psycopg.DatabaseError


@contextmanager
def committing(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Run one statement. Outside of a transaction it commits itself, so raise as `WritingConnection.commit` does."""
    if connection.in_atomic_block:
        yield
        return
    with connection.wrap_database_errors:
        connection.connection.check_open()
    try:
        yield
    except Error as error:
        if not is_lost(error.__cause__):
            raise
        with connection.wrap_database_errors:
            raise UnansweredCommit(*error.args) from error


def limit_sessions() -> None:
    """Limit what the connections of this process wait for. Processes that serve requests call this; commands do not.

    Imports, migrations and repairs are commands: they may take as long as they need.
    """
    WritingConnection.session = WritingConnection.session | {
        "lock_timeout": f"{settings.LOCK_TIMEOUT}s",
        "statement_timeout": f"{settings.STATEMENT_TIMEOUT}s",
        "idle_in_transaction_session_timeout": f"{IDLE_TRANSACTION}s",
    }
    WritingConnection.answer_limit = settings.STATEMENT_TIMEOUT + ANSWER_GRACE if settings.STATEMENT_TIMEOUT else None


def retry_deadlocks(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """Call a function, which opens a transaction, again if PostgreSQL has ended the transaction to end a deadlock.

    Writers lock rows in one order, so deadlocks occur only on a cluster, where each node has an order of its own.
    Inside a transaction of the caller, the error is raised, because the caller has to start again.
    """

    @wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
        for retry in range(DEADLOCK_RETRIES):
            try:
                return function(*args, **kwargs)
            except OperationalError as error:
                if connection.in_atomic_block or not isinstance(error.__cause__, DeadlockDetected):
                    raise
                # The pause is random, so that two writers do not meet again.
                time.sleep(random.uniform(0.5, 1) * RETRY_PAUSE * 2**retry)  # noqa: S311  # not for security
        return function(*args, **kwargs)

    return call


@contextmanager
def session_lock(key: int, *, if_held: Exception | None = None) -> Iterator[None]:
    """Hold an advisory lock. While another session holds it, raise `if_held`, or wait if that is None.

    The session holds the lock, not a transaction, so that the wait can end before a snapshot is taken.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_{'try_' if if_held else ''}advisory_lock(%s)", [key])
        if if_held and not cursor.fetchone()[0]:
            raise if_held
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [key])
