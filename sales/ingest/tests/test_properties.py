"""Any mix of valid and invalid events, in any shape: the response matches what is stored."""

import gzip
import json
from collections import Counter
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from rest_framework.test import APIClient

from sales.categories import Category
from sales.ingest.schema import EXAMPLE
from sales.models import RejectedEvent, Sale
from sales.totals import feedback
from sales.totals.feedback import FeedbackQuery
from salesengine.tests.clients import post


class Valid(dict):
    """A valid event. It may still conflict with an earlier event of its EVENT_ID."""

    def content(self):
        return self["EVENT_ID"], Decimal(str(self["REVENUE"])), self["CATEGORY"]


class Unparsable(str):
    """A line that is not JSON."""


VALID = st.builds(
    lambda **changes: Valid(EXAMPLE | changes),
    EVENT_ID=st.sampled_from(["e-1", "e-2", "e-3", None]),
    REVENUE=st.sampled_from(["1", "1.00", 1.0, "2.50", -0.1]),
    CATEGORY=st.sampled_from(["bags", "shoes", None]),
)
INVALID = st.one_of(
    st.builds(lambda value: EXAMPLE | {"REVENUE": value}, st.sampled_from([None, "much", True, [], "1e99"])),
    st.builds(lambda name: EXAMPLE | {name: 1}, st.text(max_size=3)),
    st.sampled_from([None, 7, "text", [], {}]),
)
BROKEN = st.builds(
    Unparsable, st.sampled_from(["{", '{"ID_ORDER": ', "nothing", '{"a": 1, "a": 2}', '{"REVENUE": NaN}'])
)
QUERIES = ("", "?on_error=stop", "?on_error=skip", "?on_error=skip&dry_run=true", "?dry_run=true")
REQUESTS = st.tuples(
    st.one_of(st.lists(VALID, max_size=8), st.lists(st.one_of(VALID, VALID, INVALID, BROKEN), max_size=12)),
    st.sampled_from(["object", "list", "lines"]),
    st.sampled_from(QUERIES),
    st.booleans(),
)


def body_of(values, shape):
    texts = [value if isinstance(value, Unparsable) else json.dumps(value) for value in values]
    if shape == "object":
        return texts[0].encode()
    return ("\n".join(texts) if shape == "lines" else f"[{','.join(texts)}]").encode()


class Expected:
    """Computes independently what the table must contain, one event after the other."""

    def __init__(self):
        self.contents = {}  # by EVENT_ID
        self.sales = Counter()
        self.rejected = 0

    def send(self, values, query):
        """Return the status and the counts of a response; None for an error."""
        known, sales, counts = dict(self.contents), Counter(self.sales), Counter()
        for value in values:
            outcome = self._outcome(value, known)
            counts[outcome] += 1
            if outcome == "accepted":
                sales[value.content()] += 1
        rejected = counts["invalid"] + counts["conflict"]
        if rejected and "skip" not in query:
            return (400 if counts["invalid"] else 409), None
        response = {"accepted": counts["accepted"], "duplicate": counts["duplicate"], "rejected": rejected}
        if "dry_run" in query:
            return 200, response
        self.contents, self.sales, self.rejected = known, sales, self.rejected + rejected
        return (207 if rejected else 201 if counts["accepted"] else 200), response

    @staticmethod
    def _outcome(value, known):
        if not isinstance(value, Valid):
            return "invalid"
        event_id = value["EVENT_ID"]
        if event_id is None:
            return "accepted"
        if event_id in known:
            return "duplicate" if known[event_id] == value.content() else "conflict"
        known[event_id] = value.content()
        return "accepted"


class TestAnyMixture(TestCase):
    """Runs each example in its own transaction (hypothesis.extra.django)."""

    @settings(deadline=None, suppress_health_check=list(HealthCheck))
    @given(requests=st.lists(REQUESTS, min_size=1, max_size=4))
    def test_the_response_matches_what_is_stored(self, requests):
        api, expected = APIClient(), Expected()
        for values, shape, query, compress in requests:
            shape = possible_shape(shape, values)
            body = body_of(values, shape)
            content_type = "application/x-ndjson" if shape == "lines" else "application/json"
            headers = {"Content-Encoding": "gzip"} if compress else {}

            response = post(api, gzip.compress(body) if compress else body, content_type, query, **headers)

            status, counts = expected.send(values, query)
            content = response.json()
            assert response.status_code == status, content
            if counts is None:
                assert content["error_count"] >= 1
            elif shape == "object" and query in QUERIES[:2]:
                assert Sale.objects.get(pk=content["ID"]).event_id == values[0]["EVENT_ID"]
            else:
                assert {name: content[name] for name in counts} == counts
                assert sum(counts.values()) == len(values)
                assert len(content.get("errors", [])) == counts["rejected"]
        rows = Sale.objects.values_list("event_id", "revenue", "category")
        assert Counter(map(tuple, rows)) == expected.sales
        assert RejectedEvent.objects.count() == expected.rejected
        assert_feedback_matches_the_table()


def possible_shape(shape, values):
    """Return a shape that can hold these values and is not rejected as a whole."""
    if shape == "object" and len(values) == 1 and isinstance(values[0], dict):
        return shape
    if not values:
        return "list"  # NDJSON without lines is an error
    if any(isinstance(value, Unparsable) and value != '{"a": 1, "a": 2}' for value in values):
        return "lines"  # a JSON body with such a value is rejected as a whole
    return "lines" if shape == "lines" else "list"


def assert_feedback_matches_the_table():
    for category in Category.values:
        revenues = list(Sale.objects.filter(category=category).values_list("revenue", flat=True))
        rows = feedback.top_categories(FeedbackQuery(category=category))
        assert [(row.sales_count, row.total_revenue) for row in rows] == (
            [(len(revenues), sum(revenues, Decimal(0)))] if revenues else []
        )
