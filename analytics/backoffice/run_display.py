"""Show the outcome of a report's run."""

from django.utils.html import format_html
from django.utils.safestring import SafeString

from analytics.models import ReportRun


def outcome_badge(run: ReportRun) -> SafeString:
    """Return the outcome as a badge in its own colour (outcomes.css)."""
    kind = run.outcome.replace(" ", "-")
    return format_html('<span class="outcome outcome-{}">{}</span>', kind, run.get_outcome_display())
