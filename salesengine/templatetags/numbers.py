"""Template filters: the functions of `salesengine.backoffice.numbers`."""

from django import template

from salesengine.backoffice import numbers

register = template.Library()
for function in (
    *(numbers.count, numbers.approximate_count, numbers.duration, numbers.percent),
    *(numbers.money, numbers.money_text, numbers.exact_text),
):
    register.filter(function)
