"""quick_sum, the fast aggregate for reports with many groups, returns the same digits as SUM."""

from decimal import Decimal

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.django_db

REVENUES = st.decimals("-999999999999999.9", "999999999999999.9", allow_nan=False, allow_infinity=False, places=20)


def sums(values):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT quick_sum(value)::text, sum(value)::text FROM unnest(%s::numeric[]) AS value", [list(values)]
        )
        return cursor.fetchone()


@given(st.lists(REVENUES | st.decimals("-1000", "1000", places=2) | st.none()))
def test_the_sum_has_the_same_digits(values):
    quick, plain = sums(values)
    assert quick == plain


def test_every_digit_and_decimal_place_is_preserved():
    assert sums([Decimal("999999999999999.00000000000000000001"), Decimal("0.10"), None])[0] == (
        "999999999999999.10000000000000000001"
    )


def test_the_sum_of_no_values_is_null():
    assert sums([]) == (None, None)
    assert sums([None]) == (None, None)
