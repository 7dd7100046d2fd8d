"""The checker of the fault injections finds what it looks for. The injections themselves are a step of `.ci/run`."""

import datetime
from collections import Counter
from decimal import Decimal
from itertools import chain, repeat
from random import Random
from unittest.mock import MagicMock

import httpx
import pytest

from salesengine.tests.faults.checker import (
    Recount,
    Violations,
    check_corrections,
    check_requests,
    differences,
    minute_errors,
)
from salesengine.tests.faults.follower import Follower
from salesengine.tests.faults.load import Correction, Outcome, SentRequest, Shape, figures_of
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


def correction_violations(outcome, replacement, sales=(), voided=()):
    """Check a correction of the sale a. `sales` are orders, whose ids are 1, 2, ..., and `voided` what replaced a."""
    rows = [row(10, "a", is_voided=True, replaced_by=each) for each in voided]
    rows += [row(number, order) for number, order in enumerate(sales, start=1)]
    found = Violations()
    check_corrections([Correction("a", replacement, outcome)], Recount(rows), found)
    return [kind for kind, texts in vars(found).items() if texts]


def row(sale_id, order, *, is_voided=False, replaced_by=None):
    sent = figures_of(order)
    figures = (sent["CATEGORY"], Decimal(sent["REVENUE"]), sent["ID_SELLER_COUNTRY"], sent["ID_BUYER_COUNTRY"])
    return (sale_id, order, None, *figures, MINUTE, is_voided, replaced_by)


def test_an_acknowledged_correction_must_be_made_once():
    assert correction_violations(Outcome.STORED, "", voided=[None]) == []
    assert correction_violations(Outcome.STORED, "", sales=["a"]) == ["lost"]
    assert correction_violations(Outcome.STORED, "b", sales=["b"], voided=[1]) == []
    assert correction_violations(Outcome.STORED, "b", sales=["b", "b"], voided=[2]) == ["doubled", "wrong"]
    assert correction_violations(Outcome.STORED, "b", sales=["b"], voided=[7]) == ["wrong"]


def test_a_correction_without_an_answer_must_be_made_completely_or_not_at_all():
    assert correction_violations(Outcome.UNKNOWN, "b", sales=["a"]) == []
    assert correction_violations(Outcome.UNKNOWN, "b", sales=["b"], voided=[1]) == []
    assert correction_violations(Outcome.UNKNOWN, "b", sales=["a", "b"]) == ["wrong"]
    assert correction_violations(Outcome.UNKNOWN, "b", voided=[None]) == ["wrong"]
    assert correction_violations(Outcome.NOTHING, "b", sales=["b"], voided=[1]) == ["wrong"]


def test_a_sale_that_nobody_has_voided_is_found():
    found = Violations()
    check_corrections([], Recount([row(1, "a", is_voided=True)]), found)
    assert found.wrong


def test_voided_sales_count_in_no_figure():
    recount = Recount([row(1, "a", is_voided=True), row(2, "b")])
    assert [count for count, _ in recount.categories.values()] == [1]
    assert (recount.orders.total(), recount.minutes.total()) == (2, 2)


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


@pytest.mark.parametrize(
    ("pages", "stored", "is_right"),
    [
        ([[(1, 7), (2, 9)], [(3, 8)]], [7, 8, 9], True),
        ([[(1, 7), (2, 9)]], [7, 8, 9], False),
        ([[(1, 7), (2, 7)]], [7], False),
        ([[(1, 7)], [(3, 8)]], [7, 8], False),
    ],
)
def test_a_follower_must_see_each_sale_once_at_positions_without_gaps(monkeypatch, pages, stored, is_right):
    responses = [
        {
            "results": [{"position": position, "kind": "sale", "ID": sale_id} for position, sale_id in page],
            "next": page[-1][0],
            "has_more": index < len(pages) - 1,
        }
        for index, page in enumerate(pages)
    ]
    nothing = {"results": [], "next": pages[-1][-1][0], "has_more": False}
    answers = chain(responses, repeat(nothing))
    monkeypatch.setattr(httpx, "get", lambda *_, **__: httpx.Response(200, json=next(answers)))
    follower = Follower(MagicMock(), Random(1))
    database = MagicMock()
    database.connect().__enter__().execute.return_value = [("sale", sale_id) for sale_id in stored]

    assert (follower.violations(database) == []) == is_right
