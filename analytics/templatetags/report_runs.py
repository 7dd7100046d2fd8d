"""Template tags for runs of reports."""

from django import template

from analytics.backoffice.run_display import outcome_badge

register = template.Library()
register.simple_tag(outcome_badge)
