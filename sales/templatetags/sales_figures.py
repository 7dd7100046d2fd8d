"""How pages write numbers of sales and revenue."""

from decimal import Decimal

from django import template

from sales.backoffice.links import trader_address

register = template.Library()


@register.filter
def about(count: int) -> str:
    """An estimate in words that do not pretend to be exact: 1234567 -> "about 1.2 million"."""
    for size, word in ((10**9, " billion"), (10**6, " million")):
        if count >= 0.995 * size:
            return f"about {count / size:.{0 if count >= 9.95 * size else 1}f}{word}"
    digits = max(len(str(count)) - 2, 0)
    return f"about {round(count, -digits):,}"


@register.filter
def money(revenue: Decimal) -> str:
    """All its digits, with commas between the thousands."""
    return f"{revenue:,f}"


@register.filter
def exactly(count: int) -> str:
    """1234567 -> "1,234,567"."""
    return f"{count:,}"


@register.filter
def digits(revenue: Decimal) -> str:
    """The digits it came with, and no more."""
    return f"{revenue:f}"


@register.filter
def buyer_page(trader_id: str) -> str:
    return trader_address("buyer", trader_id)


@register.filter
def seller_page(trader_id: str) -> str:
    return trader_address("seller", trader_id)
