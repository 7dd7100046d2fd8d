"""The checker of the fault injections finds what it looks for. The injections themselves are a step of `.ci/run`."""

import datetime
from collections import Counter

from salesengine.tests.faults.checker import Violations, check_requests, differences, minute_errors
from salesengine.tests.faults.load import Outcome, SentRequest, Shape
from salesengine.tests.faults.report import late
from salesengine.tests.faults.rounds import Result

MINUTE = datetime.datetime(2021, 1, 1, 10, 0, tzinfo=datetime.UTC)
NEXT_MINUTE = MINUTE + datetime.timedelta(minutes=1)


def result(seconds, kind="resets"):
    return Result(kind, 0, recovery=seconds)


def violations(stored, outcome=Outcome.STORED, size=2):
    found = Violations()
    check_requests([SentRequest("a", Shape(size), outcome)], Counter(stored), found)
    return [kind for kind, texts in vars(found).items() if texts]


def test_an_acknowledged_request_must_be_stored_once():
    assert violations(["a-0", "a-1"]) == []
    assert violations([]) == ["lost"]
    assert violations(["a-0"]) == ["lost"]
    assert violations(["a-0", "a-1", "a-1"]) == ["doubled"]


def test_a_request_without_an_answer_must_be_stored_completely_or_not_at_all():
    assert violations([], Outcome.UNKNOWN) == []
    assert violations(["a-0", "a-1"], Outcome.UNKNOWN) == []
    assert violations(["a-1"], Outcome.UNKNOWN) == ["wrong"]
    assert violations(["a-0", "a-0"], Outcome.UNKNOWN, size=1) == ["doubled"]


def test_a_request_whose_answer_says_that_nothing_is_stored_must_not_be_stored():
    assert violations([], Outcome.NOTHING) == []
    assert violations(["a-0", "a-1"], Outcome.NOTHING) == ["wrong"]


def test_a_sale_that_nobody_has_sent_is_found():
    assert violations(["a-0", "a-1", "b-0"]) == ["wrong"]


def test_a_batch_may_count_in_the_minute_after_its_sales_but_must_count():
    assert minute_errors(Counter({MINUTE: 3}), Counter({MINUTE: 3})) == []
    assert minute_errors(Counter({NEXT_MINUTE: 3}), Counter({MINUTE: 3})) == []
    assert minute_errors(Counter({MINUTE: 3}), Counter({NEXT_MINUTE: 3})) != []
    assert minute_errors(Counter({MINUTE: 2}), Counter({MINUTE: 3})) != []


def test_totals_that_differ_or_are_missing_are_found():
    assert differences("country", {"170": 2}, {"170": 2}) == []
    assert differences("country", {"170": 2}, {"170": 3}) != []
    assert differences("country", {}, {"170": 3}) != []
    assert differences("country", {"170": 3}, {}) != []


def test_a_service_that_is_back_too_late_fails_the_run():
    assert late([result(0.5), result(2.9), result(3.5)]) == []
    assert late([result(0.5), result(3.1), result(3.5)]) == [
        "resets: back after 3.10 s in the median and 3.50 s at most"
    ]
    assert late([result(0.5), result(0.5), result(12.5)]) != []


def test_a_service_may_be_back_later_where_the_promise_is_another_one():
    assert late([result(8.5, "silent_connections"), result(7, "kill_master"), result(None)]) == []
    assert late([result(13, "silent_connections")]) != []
