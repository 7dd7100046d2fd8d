"""Make the function `trader_url` a template filter: {{ "buyer"|trader_url:sale.id_buyer }}."""

from django import template

from sales.backoffice.links import trader_url

register = template.Library()
register.filter(trader_url)
