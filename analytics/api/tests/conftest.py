import pytest

from analytics.api.tests.helpers import Client


@pytest.fixture
def api() -> Client:
    return Client()
