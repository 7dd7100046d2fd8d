"""Rejected events are kept as they came."""

import pytest

from sales.models import RejectedEvent
from sales.rejected import LONGEST_REASON, reason_of
from sales.schemas import EXAMPLE, check_event
from sales.tests.helpers import post


@pytest.mark.django_db
class TestKeeping:
    @pytest.mark.parametrize(
        "text",
        [
            b'{"REVENUE": 1.50,  "REVENUE": 2}',
            b'{"\\u0000": "\\u0000"}',
            b'{"%s": 1}' % (b"long" * 10_000),
            b'{"ID_ORDER":"\xff"}',
            b"[" * 150 + b"]" * 150,
        ],
    )
    def test_whatever_came_is_kept_as_it_came(self, api, text):
        assert post(api, b"[" + text + b"]", query="?on_error=skip").status_code == 207

        assert bytes(RejectedEvent.objects.get().content) == text

    def test_a_field_of_any_name_in_a_good_event_is_kept(self, api, event):
        names = ["\0", "x" * 100_000, "\N{PILE OF POO}"]

        assert post(api, [event | {name: 1} for name in names], query="?on_error=skip").status_code == 207

        assert set(RejectedEvent.objects.values_list("reason", flat=True)) == {"a field that no sale event has"}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({**EXAMPLE, "REVENUE": "much"}, "REVENUE must be a number"),
        ({**EXAMPLE, "DATE_PAYMENT": "2021-02-30"}, "DATE_PAYMENT is no date and time"),
        ({**EXAMPLE, "BRND": "x"}, "a field that no sale event has"),
        (7, "must be an object with the fields of a sale event"),
        (dict.fromkeys(map(str, range(17))), "must have only the fields of a sale event"),
    ],
)
def test_the_reason_is_the_same_for_the_same_mistake(value, reason):
    assert reason_of(check_event(value)) == reason


def test_a_reason_is_short():
    assert len(reason_of(check_event({**EXAMPLE, "CATEGORY": "toys"}))) == LONGEST_REASON
