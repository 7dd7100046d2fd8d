"""How runs of reports are shown: their outcome, and how long they took."""

from django.utils.html import format_html
from django.utils.safestring import SafeString

from analytics.models import ReportRun


def outcome_badge(run: ReportRun) -> SafeString:
    """The outcome, in a colour of its own (outcomes.css)."""
    kind = run.outcome.replace(" ", "-")
    return format_html('<span class="outcome outcome-{}">{}</span>', kind, run.get_outcome_display())


def duration(seconds: float) -> str:
    """0.1234 -> 0.12 s; 75.5 -> 1 min 16 s."""
    if seconds < 59.995:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:,} min {rest} s"
