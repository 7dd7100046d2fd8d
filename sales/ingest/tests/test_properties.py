"""Any mixture of good and bad events, in any form: what is said of it is what happens to it."""

import gzip
import json
from collections import Counter
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from rest_framework.test import APIClient

from sales.ingest.schema import EXAMPLE
from sales.models import Category, RejectedEvent, Sale
from sales.totals import feedback
from sales.totals.feedback import FeedbackQuery
from salesengine.tests.clients import post


class Good(dict):
    """An event that can be taken, unless its EVENT_ID came before with other contents."""

    def contents(self):
        return self["EVENT_ID"], Decimal(str(self["REVENUE"])), self["CATEGORY"]


class Broken(str):
    """A line that is no JSON."""


GOOD = st.builds(
    lambda **changes: Good(EXAMPLE | changes),
    EVENT_ID=st.sampled_from(["e-1", "e-2", "e-3", None]),
    REVENUE=st.sampled_from(["1", "1.00", 1.0, "2.50", -0.1]),
    CATEGORY=st.sampled_from(["bags", "shoes", None]),
)
BAD = st.one_of(
    st.builds(lambda value: EXAMPLE | {"REVENUE": value}, st.sampled_from([None, "much", True, [], "1e99"])),
    st.builds(lambda name: EXAMPLE | {name: 1}, st.text(max_size=3)),
    st.sampled_from([None, 7, "text", [], {}]),
)
BROKEN = st.builds(Broken, st.sampled_from(["{", '{"ID_ORDER": ', "nothing", '{"a": 1, "a": 2}', '{"REVENUE": NaN}']))
QUERIES = ("", "?on_error=stop", "?on_error=skip", "?on_error=skip&dry_run=true", "?dry_run=true")
REQUESTS = st.tuples(
    st.one_of(st.lists(GOOD, max_size=8), st.lists(st.one_of(GOOD, GOOD, BAD, BROKEN), max_size=12)),
    st.sampled_from(["object", "list", "lines"]),
    st.sampled_from(QUERIES),
    st.booleans(),
)


def text_of(values, form):
    texts = [value if isinstance(value, Broken) else json.dumps(value) for value in values]
    if form == "object":
        return texts[0].encode()
    return ("\n".join(texts) if form == "lines" else f"[{','.join(texts)}]").encode()


class Expected:
    """What the table must hold, told independently: one event after the other."""

    def __init__(self):
        self.contents = {}  # by EVENT_ID
        self.sales = Counter()
        self.kept = 0

    def take(self, values, query):
        """The status, and the numbers of accepted, duplicate and rejected; None for a refusal."""
        known, sales, counts = dict(self.contents), Counter(self.sales), Counter()
        for value in values:
            outcome = self._outcome(value, known)
            counts[outcome] += 1
            if outcome == "accepted":
                sales[value.contents()] += 1
        rejected = counts["bad"] + counts["conflict"]
        if rejected and "skip" not in query:
            return (400 if counts["bad"] else 409), None
        answer = {"accepted": counts["accepted"], "duplicate": counts["duplicate"], "rejected": rejected}
        if "dry_run" in query:
            return 200, answer
        self.contents, self.sales, self.kept = known, sales, self.kept + rejected
        return (207 if rejected else 201 if counts["accepted"] else 200), answer

    @staticmethod
    def _outcome(value, known):
        if not isinstance(value, Good):
            return "bad"
        event_id = value["EVENT_ID"]
        if event_id is None:
            return "accepted"
        if event_id in known:
            return "duplicate" if known[event_id] == value.contents() else "conflict"
        known[event_id] = value.contents()
        return "accepted"


class TestAnyMixture(TestCase):
    """hypothesis.extra.django: each example in a transaction of its own."""

    @settings(deadline=None, suppress_health_check=list(HealthCheck))
    @given(requests=st.lists(REQUESTS, min_size=1, max_size=4))
    def test_what_is_said_of_it_is_what_happens_to_it(self, requests):
        api, expected = APIClient(), Expected()
        for values, form, query, compress in requests:
            form = possible_form(form, values)
            body = text_of(values, form)
            content_type = "application/x-ndjson" if form == "lines" else "application/json"
            headers = {"Content-Encoding": "gzip"} if compress else {}

            response = post(api, gzip.compress(body) if compress else body, content_type, query, **headers)

            status, counts = expected.take(values, query)
            answer = response.json()
            assert response.status_code == status, answer
            if counts is None:
                assert answer["error_count"] >= 1
            elif form == "object" and query in QUERIES[:2]:
                assert Sale.objects.get(pk=answer["ID"]).event_id == values[0]["EVENT_ID"]
            else:
                assert {name: answer[name] for name in counts} == counts
                assert sum(counts.values()) == len(values)
                assert len(answer.get("errors", [])) == counts["rejected"]
        rows = Sale.objects.values_list("event_id", "revenue", "category")
        assert Counter(map(tuple, rows)) == expected.sales
        assert RejectedEvent.objects.count() == expected.kept
        assert_feedback_is_the_table()


def possible_form(form, values):
    """A form that these values can be sent in, and have events in."""
    if form == "object" and len(values) == 1 and isinstance(values[0], dict):
        return form
    if not values:
        return "list"  # no line is no event, which is refused
    if any(isinstance(value, Broken) and value != '{"a": 1, "a": 2}' for value in values):
        return "lines"  # what is no JSON as a whole has no events
    return "lines" if form == "lines" else "list"


def assert_feedback_is_the_table():
    for category in Category.values:
        revenues = list(Sale.objects.filter(category=category).values_list("revenue", flat=True))
        answers = feedback.top_categories(FeedbackQuery(category=category))
        assert [(answer.sales_count, answer.total_revenue) for answer in answers] == (
            [(len(revenues), sum(revenues, Decimal(0)))] if revenues else []
        )
