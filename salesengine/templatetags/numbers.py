"""Template filters: functions of `salesengine.backoffice.numbers`, and `counted`."""

from django import template

from salesengine.backoffice import numbers
from salesengine.plurals import counted

register = template.Library()
register.filter("counted", counted)
for name in ("count", "approximate_count", "duration", "money", "money_text"):
    register.filter(name, getattr(numbers, name))
