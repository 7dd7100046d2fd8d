"""What every test can lean on."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from rest_framework.test import APIClient

from salesengine.tests.servers import new_folder, serve

hypothesis.settings.register_profile("quick", max_examples=30)
hypothesis.settings.register_profile("thorough", max_examples=200)  # a step of its own in .ci/run
hypothesis.settings.load_profile("quick")


def pytest_configure() -> None:
    """Ignore by a handler what `nohup bin/test &` has us ignore: what tests start does not inherit that."""
    for each in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(each) is signal.SIG_IGN:
            signal.signal(each, lambda *_: None)


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What wants the service as processes of its own belongs to the slow suites."""
    for item in items:
        if {"server", "start_server"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True, scope="session")
def quick_flush() -> Iterator[None]:
    """Empty the tables after a test with transactions of its own in 2 ms, where TRUNCATE takes 50 and making the
    permissions anew another 50."""
    from django.db import connection
    from django.test import TransactionTestCase

    def delete_rows(case: TransactionTestCase) -> None:
        # Migrations fill these.
        kept = {"django_content_type", "auth_permission", "auth_group", "auth_group_permissions"}
        tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False)) - kept
        with connection.cursor() as cursor:
            cursor.execute("BEGIN; SET LOCAL session_replication_role = replica")  # in any order of the tables
            cursor.execute("; ".join(f'DELETE FROM "{table}"' for table in tables))
            cursor.execute("COMMIT")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", delete_rows)
        yield


@pytest.fixture(autouse=True)
def quick_passwords(settings: Any) -> None:
    """Hash passwords as fast as can be: a good hash takes a quarter of a second, for each log-in of each test."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def quick_clients(settings: Any) -> None:
    """Look for a static file when it is asked for: to find all of them takes a tenth of a second, for each client."""
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture(autouse=True)
def no_remembered_keys() -> None:
    """The API keys of a test are its own; those of others are forgotten."""
    from salesengine.accounts import api_keys

    api_keys.remembered.clear()


@pytest.fixture(autouse=True)
def closed_singles(request: Any) -> Iterator[None]:
    """Close the connection for single events after a test that may use it: the test database cannot be dropped before.

    Such a test has the mark django_db(transaction=True, databases=["default", "singles"]).
    """
    yield
    mark = request.node.get_closest_marker("django_db")
    if mark and "singles" in mark.kwargs.get("databases", ()):
        from django.db import connections

        connections["singles"].close_pool()


@pytest.fixture
def api() -> APIClient:
    """An API client without credentials; the local posture lets it in."""
    return APIClient()


@pytest.fixture
def event() -> dict[str, Any]:
    """The example sale event, as sent."""
    from sales.ingest.schema import EXAMPLE

    return dict(EXAMPLE)


@pytest.fixture(scope="session")
def server_dir() -> Iterator[Path]:
    """The LOCAL_DIR of `server`."""
    with new_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def server(server_dir: Path) -> Iterator[str]:
    """The service with its default settings; its address."""
    with serve(server_dir) as address:
        yield address


@pytest.fixture
def start_server() -> Iterator[Callable[..., str]]:
    """Starts the service with the settings given, on a database of its own, and returns its address."""
    with ExitStack() as servers:
        yield lambda **settings: servers.enter_context(serve(servers.enter_context(new_folder()), **settings))
