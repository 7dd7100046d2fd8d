import pytest

from salesengine.tests.servers import new_folder


@pytest.fixture(scope="module")
def folder():
    """Yield a LOCAL_DIR with a prepared database, for all tests of a module."""
    with new_folder() as folder:
        yield folder
