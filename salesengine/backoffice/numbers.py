"""Format numbers, the same way on every page of the back office.

Pages show money with two decimals and percentages with one. If that hides digits, the element's title has the exact
number. Exports and the API stay exact.
"""

from decimal import Decimal

from django.utils.safestring import SafeString, mark_safe

MONEY_DECIMALS = 2
PERCENT_DECIMALS = 1


def count(number: Decimal | float) -> str:
    """Return 1234567 as "1,234,567". A number that is not whole keeps its digits."""
    return f"{int(number):,}" if number == int(number) else exact_text(number)


def approximate_count(number: int) -> str:
    """Return an estimate in words that do not look exact: 1234567 is "about 1.2 million"."""
    for size, word in ((10**9, " billion"), (10**6, " million")):
        if number >= 0.995 * size:
            return f"about {number / size:.{0 if number >= 9.95 * size else 1}f}{word}"
    digits = max(len(str(number)) - 2, 0)
    return f"about {round(number, -digits):,}"


def money_text(amount: Decimal | float) -> str:
    """Return an amount with two decimals and thousands separators: 1234.567 is "1,234.57"."""
    return _rounded(amount, MONEY_DECIMALS)


def exact_text(amount: Decimal | float) -> str:
    """Return every digit of an amount, with thousands separators: 1234.5670 is "1,234.5670"."""
    return f"{Decimal(str(amount)):,f}"


def money_title(amount: Decimal | float) -> str:
    """Return the exact amount if `money_text` hides some of its digits, or else ""."""
    return _exact_if_rounded(amount, MONEY_DECIMALS)


def money(amount: Decimal | float) -> SafeString:
    """Return an amount as HTML: two decimals, and the exact amount in the title if it has more."""
    # Numbers have nothing to escape, and some tables have hundreds of them.
    text, title = money_text(amount), money_title(amount)
    return mark_safe(f'<span title="{title}">{text}</span>' if title else text)  # noqa: S308


def percent(value: Decimal | float) -> str:
    """Return 12.345678 as "12.3%"."""
    return f"{_rounded(value, PERCENT_DECIMALS)}%"


def percent_title(value: Decimal | float) -> str:
    """Return the exact number if `percent` hides some of its digits, or else ""."""
    return _exact_if_rounded(value, PERCENT_DECIMALS)


def duration(seconds: float) -> str:
    """Return 0.1234 as "0.12 s" and 75.5 as "1 min 16 s"."""
    if seconds < 59.995:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:,} min {rest} s"


def _rounded(number: Decimal | float, decimals: int) -> str:
    return f"{Decimal(str(number)):z,.{decimals}f}"


def _exact_if_rounded(number: Decimal | float, decimals: int) -> str:
    exact = Decimal(str(number))
    return "" if exact == Decimal(f"{exact:.{decimals}f}") else exact_text(exact)
