"""A member of staff, and the second factor on their phone."""

import pytest
from django.contrib.auth.models import User

from salesengine.tests.clients import PASSWORD, enrol


@pytest.fixture
def jo():
    return User.objects.create_user("jo", password=PASSWORD, is_staff=True)


@pytest.fixture
def phone(jo):
    return enrol(jo)
