"""Numbers are written the same way on every page."""

from decimal import Decimal

import pytest
from django.template import Context, Template

from salesengine.backoffice import numbers


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (999, "999"), (1234567, "1,234,567"), (-1234, "-1,234")])
def test_counts_have_thousands_separators(number, text):
    assert numbers.count(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "about 0"),
        (7, "about 7"),
        (99, "about 99"),
        (123, "about 120"),
        (12_345, "about 12,000"),
        (994_999, "about 990,000"),
        (995_000, "about 1.0 million"),
        (1_234_567, "about 1.2 million"),
        (9_949_999, "about 9.9 million"),
        (9_950_000, "about 10 million"),
        (123_456_789, "about 123 million"),
        (994_999_999, "about 995 million"),
        (995_000_000, "about 1.0 billion"),
        (12_345_678_901, "about 12 billion"),
    ],
)
def test_approximate_counts_have_few_digits(number, text):
    assert numbers.approximate_count(number) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (Decimal(0), "0.00"),
        (Decimal("1234.567"), "1,234.57"),
        (Decimal("-1234.567"), "-1,234.57"),
        (Decimal("-0.001"), "0.00"),
        (Decimal("12345678901234567890.125"), "12,345,678,901,234,567,890.12"),
        (0.1, "0.10"),
        (1e16, "10,000,000,000,000,000.00"),
        (5, "5.00"),
    ],
)
def test_money_has_two_decimals_and_thousands_separators(amount, text):
    assert numbers.money_text(amount) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (Decimal("1234.5670"), "1,234.5670"),
        (Decimal("1E+3"), "1,000"),
        (Decimal("0.0000001"), "0.0000001"),
        (0.1, "0.1"),
    ],
)
def test_exact_text_keeps_every_digit(amount, text):
    assert numbers.exact_text(amount) == text


@pytest.mark.parametrize(
    ("amount", "html"),
    [
        (Decimal("1234.5678"), '<span title="1,234.5678">1,234.57</span>'),
        (Decimal("1234.50000000000000000001"), '<span title="1,234.50000000000000000001">1,234.50</span>'),
        (Decimal("12345678901234567890123456789.50"), "12,345,678,901,234,567,890,123,456,789.50"),
        (Decimal("12.500"), "12.50"),
        (12.5, "12.50"),
        (0, "0.00"),
    ],
)
def test_money_has_a_title_only_if_it_hides_digits(amount, html):
    assert numbers.money(amount) == html


@pytest.mark.parametrize(
    ("value", "text"), [(Decimal("12.345678"), "12.3%"), (0.0, "0.0%"), (-0.001, "0.0%"), (1234.5, "1,234.5%")]
)
def test_percentages_have_one_decimal(value, text):
    assert numbers.percent(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 s"),
        (0.1234, "0.12 s"),
        (59.994, "59.99 s"),
        (59.995, "1 min 0 s"),
        (75.5, "1 min 16 s"),
        (3_600, "60 min 0 s"),
        (60_000.4, "1,000 min 0 s"),
    ],
)
def test_durations_are_in_seconds_or_in_minutes_and_seconds(seconds, text):
    assert numbers.duration(seconds) == text


@pytest.mark.parametrize("name", ["count", "approximate_count", "duration", "money", "money_text"])
def test_templates_format_numbers_with_the_same_functions(name):
    page = Template(f"{{% load numbers %}}{{{{ value|{name} }}}}").render(Context({"value": 1234}))

    assert page == getattr(numbers, name)(1234)
