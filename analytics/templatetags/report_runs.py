"""Template tags that show runs of reports."""

from django import template

from analytics.backoffice.run_display import duration, outcome_badge

register = template.Library()
register.simple_tag(outcome_badge)
register.filter(duration)
