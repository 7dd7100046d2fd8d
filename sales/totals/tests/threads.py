"""Run functions in other threads, each on its own database connection, and see whether they wait."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from django.db import connection

# A transaction, for which others wait, belongs to no database.
IS_WAITING = """
    SELECT EXISTS (
        SELECT FROM pg_locks LEFT JOIN pg_database ON pg_database.oid = database
        WHERE NOT granted AND locktype LIKE %s AND coalesce(datname, current_database()) = current_database()
    )
    """


def in_another_thread(function, *arguments):
    """Return what the function returns in another thread."""

    def run():
        try:
            return function(*arguments)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


@contextmanager
def together(*calls):
    """Run calls of (function, *arguments) in threads. At the end, wait for them and raise what they raised."""
    failures = []

    def run(function, *arguments):
        try:
            function(*arguments)
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=call) for call in calls]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()
    assert not failures, failures


def someone_waits(kind="%"):
    """Return whether a session waits for a lock of this kind, such as "relation" or "advisory"."""
    with connection.cursor() as cursor:
        cursor.execute(IS_WAITING, [kind])
        return cursor.fetchone()[0]
