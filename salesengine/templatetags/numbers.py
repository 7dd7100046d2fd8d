"""Template filters: the functions of `salesengine.backoffice.numbers`."""

from django import template

from salesengine.backoffice import numbers

register = template.Library()
for name in ("count", "approximate_count", "duration", "percent", "money", "money_text", "exact_text"):
    register.filter(name, getattr(numbers, name))
