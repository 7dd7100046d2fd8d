"""Responses have the format that the header Accept prefers."""

import pytest

from salesengine.tests.clients import problem_of

pytestmark = pytest.mark.django_db

JSON, NDJSON = "application/json", "application/x-ndjson"


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", JSON),
        (" , ", JSON),
        ("*/*", JSON),
        (f"{NDJSON}, {JSON}", JSON),
        (f"{NDJSON}, {JSON};q=0.5", NDJSON),
        (f"{JSON};q=0, {NDJSON}", NDJSON),
        (f"{JSON};q=0, */*", NDJSON),
        (f"text/html;a*=unknown''b, {NDJSON}", NDJSON),
    ],
)
def test_the_most_specific_range_with_the_highest_quality_wins(api, accept, media_type):
    assert api.get("/changes", headers={"Accept": accept})["Content-Type"] == media_type


@pytest.mark.parametrize("accept", ["text/html", f"{JSON};q=0, text/html", "nonsense", "text/html;a*=unknown''b"])
def test_a_format_that_the_client_refuses_is_not_sent(api, accept):
    problem = problem_of(api.get("/feedback", headers={"Accept": accept}), 406, "not-acceptable")

    assert problem["detail"] == f"The header Accept allows none of the available formats: {JSON}."
