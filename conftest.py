"""Fixtures and settings for all tests."""

import gc
import logging
import math
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from rest_framework.test import APIClient

from salesengine.embedded.server import SERVER_OPTIONS
from salesengine.tests.servers import new_folder, serve

pytest_plugins = ["salesengine.tests.cluster_rules"]

# With `--dist loadfile --no-loadscope-reorder`, they would otherwise run last, and one of them alone.
LONGEST_FILES = (
    *("test_docs.py", "test_openapi_document.py", "test_killed_imports.py", "test_pages.py", "test_random_filters.py"),
    *("test_rights.py", "test_invalid_addresses.py", "test_stopped_workers.py", "test_kills.py", "test_faults.py"),
    *("test_outages.py", "test_broken_connections.py", "test_time_limits.py", "test_every_problem.py"),
    *("test_run_report_process.py", "test_new_field.py", "test_histories.py", "test_docker.py", "test_deployment.py"),
    *("test_backups.py", "test_prepare.py", "test_throttling.py", "test_object_storage.py", "test_upgrading.py"),
    *("test_dumps.py", "test_properties.py", "test_reading.py", "test_tasks.py", "test_import_server.py"),
)

# A table that had rows keeps its size until it is vacuumed. A partition is found by its root.
TABLES_WITH_ROWS = """
    SELECT oid::regclass::text FROM pg_class
    WHERE relkind = 'r' AND pg_relation_size(oid) > 0
        AND COALESCE(pg_partition_root(oid), oid)::regclass::text = ANY(%s)
    """

# Without limits of time, which busy machines exceed.
UNLIMITED: dict[str, Any] = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("quick", max_examples=25, **UNLIMITED)
hypothesis.settings.register_profile("thorough", max_examples=200, **UNLIMITED)  # for .ci/run
hypothesis.settings.load_profile("quick")


def pytest_configure() -> None:
    """Handle signals that are ignored, as under `nohup bin/test &`: child processes would ignore them too."""
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    SERVER_OPTIONS["shared_buffers"] = "64MB"  # a table is emptied faster if there is less of it to look through


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark tests that run the service as separate processes as slow."""
    if {"server", "start_server"} & set(getattr(item, "fixturenames", ())):
        item.add_marker(pytest.mark.slow)


@pytest.hookimpl(trylast=True)  # after pytest-django, which puts tests without a database last
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest files first."""
    order = {name: number for number, name in enumerate(LONGEST_FILES)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


def pytest_collection_finish() -> None:
    """Exclude all modules and tests from garbage collection, which would otherwise take a tenth of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Create the role of reports too, as `manage.py prepare` does after each migration."""
    from django.apps import apps
    from django.db import IntegrityError, ProgrammingError, connections
    from django.db.models.signals import post_migrate

    from analytics.running.reports_role import grant_reading, prepare_reports_role

    def grant_again(**_: Any) -> None:
        with suppress(ProgrammingError):  # some tables do not exist at the moment
            grant_reading(connections["reports"].settings_dict["USER"])

    with django_db_blocker.unblock():
        try:
            prepare_reports_role()
        except (IntegrityError, ProgrammingError):  # another process of the tests has just created it
            prepare_reports_role()
        connections["reports"].close()
    post_migrate.connect(grant_again, sender=apps.get_app_config("analytics"), weak=False)


@pytest.fixture(autouse=True, scope="session")
def quick_flush() -> Iterator[None]:
    """Empty the tables that have rows after a transactional test, in 1 ms. TRUNCATE of all tables takes 100 ms."""
    from django.db import connection
    from django.test import TransactionTestCase

    # Filled by migrations.
    permanent = {"django_content_type", "auth_permission", "auth_group", "auth_group_permissions"}
    tables = sorted(set(connection.introspection.django_table_names(include_views=False)) - permanent)

    def delete_rows(case: TransactionTestCase) -> None:
        with connection.cursor() as cursor:
            cursor.execute(TABLES_WITH_ROWS, [tables])
            deletes = [f"DELETE FROM ONLY {table}" for (table,) in cursor.fetchall()]
            # The role of a replica skips foreign keys.
            cursor.execute("; ".join(["BEGIN", "SET LOCAL session_replication_role = replica", *deletes, "COMMIT"]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", delete_rows)
        yield


@pytest.fixture(autouse=True, scope="session")
def settings_of_all_tests() -> Iterator[None]:
    """Override settings once, because an override takes 1 ms for each test."""
    from django.test import override_settings

    with override_settings(
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # a secure hash takes 0.25 s per login
        WHITENOISE_AUTOREFRESH=True,  # finding all static files takes 0.1 s per client
        BACKUP_MAX_AGE=timedelta.max,  # so that no backup of the developer's own database is too old
        SLOW_SECONDS=0,  # so that no slow request or statement is logged
    ):
        yield


@pytest.fixture(autouse=True)
def no_request_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log no requests, so that tests find only the messages that they expect."""
    monkeypatch.setattr(logging.getLogger("salesengine.operations.requests"), "disabled", True)


@pytest.fixture(autouse=True)
def no_cached_keys() -> None:
    """Clear the cache of API keys, so that no test uses those of another."""
    from salesengine.accounts import api_keys

    api_keys.key_cache.clear()


@pytest.fixture(autouse=True)
def folded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each write wait for the folds that it requests, so that every run of a test finds the same totals."""
    from sales.partitions import making
    from sales.totals import fold_thread

    monkeypatch.setattr(making, "_retry_at", -math.inf)  # a lock in an earlier test does not matter
    submit = fold_thread.executor.submit
    monkeypatch.setattr(fold_thread.executor, "submit", lambda *arguments: submit(*arguments).result())


@pytest.fixture(autouse=True)
def closed_singles(request: Any) -> Iterator[None]:
    """Close the connection for single events after each test that may use it, so that the database can be dropped.

    Such a test has the mark django_db(transaction=True, databases=["default", "singles"]).
    """
    yield
    mark = request.node.get_closest_marker("django_db")
    if mark and "singles" in mark.kwargs.get("databases", ()):
        from django.db import connections

        connections["singles"].close_pool()


@pytest.fixture
def api() -> APIClient:
    """Return an API client without credentials, which local mode accepts."""
    return APIClient()


@pytest.fixture
def event() -> dict[str, Any]:
    """Return the example sale event as a client sends it."""
    from sales.ingest.schema import EXAMPLE

    return dict(EXAMPLE)


@pytest.fixture(scope="session")
def server_dir() -> Iterator[Path]:
    """Yield the LOCAL_DIR of `server`."""
    with new_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def server(server_dir: Path) -> Iterator[str]:
    """Run the service with its default settings. Yields its URL."""
    with serve(server_dir) as url:
        yield url


@pytest.fixture
def start_server() -> Iterator[Callable[..., str]]:
    """Yield a function that runs the service with the given settings on a new database and returns its URL."""
    with ExitStack() as servers:
        yield lambda **settings: servers.enter_context(serve(servers.enter_context(new_folder()), **settings))
