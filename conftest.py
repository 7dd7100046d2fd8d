"""What every test can lean on."""

from typing import Any

import pytest
from rest_framework.test import APIClient


@pytest.fixture
def api() -> APIClient:
    """An API client without credentials; the local posture lets it in."""
    return APIClient()


@pytest.fixture
def event() -> dict[str, Any]:
    """The example sale event, as sent."""
    from sales.schemas import EXAMPLE

    return dict(EXAMPLE)
