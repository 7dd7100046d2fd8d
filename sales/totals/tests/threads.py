"""Run functions in other threads, each on its own database connection."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from django.db import connection


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
