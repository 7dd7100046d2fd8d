"""Make functions of `sales.backoffice.links` template filters: {{ "buyer"|trader_url:sale.id_buyer }}."""

from django import template

from sales.backoffice.links import order_url, trader_url

register = template.Library()
register.filter(order_url)
register.filter(trader_url)
