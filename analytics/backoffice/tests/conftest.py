"""Clients of the back office."""

import pytest

from salesengine.tests.clients import allow


@pytest.fixture
def viewer(staff):
    """A client of staff who may view sales."""
    allow(staff, "view_sale")
    return staff
