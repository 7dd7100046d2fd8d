"""Template filters for the URLs of buyers' and sellers' pages."""

from django import template

from sales.backoffice.links import trader_url

register = template.Library()


@register.filter
def buyer_url(trader_id: str) -> str:
    return trader_url("buyer", trader_id)


@register.filter
def seller_url(trader_id: str) -> str:
    return trader_url("seller", trader_id)
