from datetime import date

import pytest

from analytics.definitions.relative_days import parse_relative_day

WEDNESDAY = date(2024, 2, 28)


@pytest.mark.parametrize(
    ("phrase", "day"),
    [
        ("today", date(2024, 2, 28)),
        ("yesterday", date(2024, 2, 27)),
        ("tomorrow", date(2024, 2, 29)),
        ("0 days ago", date(2024, 2, 28)),
        ("1 day ago", date(2024, 2, 27)),
        ("30 days ago", date(2024, 1, 29)),
        ("2 weeks ago", date(2024, 2, 14)),
        ("12 months ago", date(2023, 2, 28)),
        ("4 years ago", date(2020, 2, 28)),
        ("first day of this week", date(2024, 2, 26)),
        ("last day of this week", date(2024, 3, 3)),
        ("first day of last week", date(2024, 2, 19)),
        ("first day of next week", date(2024, 3, 4)),
        ("first day of this month", date(2024, 2, 1)),
        ("last day of this month", date(2024, 2, 29)),
        ("first day of last month", date(2024, 1, 1)),
        ("last day of last month", date(2024, 1, 31)),
        ("last day of next month", date(2024, 3, 31)),
        ("first day of this quarter", date(2024, 1, 1)),
        ("last day of last quarter", date(2023, 12, 31)),
        ("first day of this year", date(2024, 1, 1)),
        ("last day of next year", date(2025, 12, 31)),
        ("First Day  of last MONTH", date(2024, 1, 1)),
    ],
)
def test_a_phrase_is_a_day_relative_to_today(phrase, day):
    assert parse_relative_day(phrase, WEDNESDAY) == day


@pytest.mark.parametrize(
    ("phrase", "today", "day"),
    [
        ("1 month ago", date(2024, 3, 31), date(2024, 2, 29)),
        ("1 year ago", date(2024, 2, 29), date(2023, 2, 28)),
        ("4 years ago", date(2024, 2, 29), date(2020, 2, 29)),
        ("first day of last month", date(2024, 1, 31), date(2023, 12, 1)),
        ("last day of last quarter", date(2024, 5, 31), date(2024, 3, 31)),
    ],
)
def test_a_day_that_the_month_does_not_have_becomes_its_last_day(phrase, today, day):
    assert parse_relative_day(phrase, today) == day


@pytest.mark.parametrize(
    "phrase", ["", "2024-01-01", "month", "next day of last first", "12345 days ago", "-1 days ago"]
)
def test_other_text_is_not_a_relative_day(phrase):
    assert parse_relative_day(phrase, WEDNESDAY) is None


@pytest.mark.parametrize("phrase", ["9999 years ago", "2025 years ago"])
def test_a_day_before_the_year_1_is_refused(phrase):
    with pytest.raises(ValueError, match="years 1 to 9999"):
        parse_relative_day(phrase, WEDNESDAY)
