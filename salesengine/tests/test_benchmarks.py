"""The endpoints that the benchmarks compare the service with answer."""

import pytest

pytestmark = pytest.mark.django_db


def test_the_endpoints_to_compare_with_answer(api, event, settings):
    settings.ROOT_URLCONF = "benchmarks.urls"

    assert api.get("/nothing").json() == []
    assert api.post("/parse", [event], format="json").json()["accepted"] == 1
    assert api.post("/drf", [event], format="json").json()["accepted"] == 1
