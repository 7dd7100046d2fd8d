"""For the templates that show what staff did."""

from typing import Any

from django import template
from django.contrib.admin.models import LogEntry

from salesengine.staff_log import find_address

register = template.Library()


@register.simple_tag(takes_context=True)
def address_of(context: dict[str, Any], entry: LogEntry) -> str | None:
    """Where an entry leads, or nothing where whoever looks may not go there."""
    return find_address(entry, context["request"])
